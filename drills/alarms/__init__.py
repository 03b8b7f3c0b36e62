"""The alarm drill, `make alarm-drill`: breaks the running stack in the ways of a written table, and shows every alarm
going from OK to ALARM and back.

``rows`` is the table, ``scenes`` what is done in a row, ``cloudwatch`` what CloudWatch is told of it and answers,
``timeline`` its time, ``composites`` the alarms that CloudFormation leaves out here and who is told of them, ``drill``
runs and checks, ``report`` writes it down. The stack is broken with the hands of the fault drill, ``drills.chaos``.
"""
