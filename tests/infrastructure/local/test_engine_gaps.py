"""What local/engine.py and local/cloudwatch/mend.py mend.

Each test fails when ministack does it by itself, so that the mending can go.
"""

from __future__ import annotations

import inspect
import time
from importlib.metadata import version

from ministack.core import iam_evaluator, lambda_runtime
from ministack.services import cloudwatch, lambda_svc, stepfunctions
from ministack.services.cloudformation import engine, provisioners


def test_the_mending_was_written_against_this_version() -> None:
    assert version("ministack") == "1.5.33", "read local/engine.py against the new version, then change this"


def test_an_invocation_still_gets_a_new_trace() -> None:
    # The caller's header is accepted by the function that makes the trace, and passed by nobody.
    assert "_xray_trace_id_for_invocation(config)" in inspect.getsource(lambda_svc._execute_function_warm)


def test_workers_are_still_without_bound() -> None:
    assert lambda_runtime._LOCAL_MAX_WORKERS == 0


def test_an_alias_event_configuration_is_still_not_looked_at() -> None:
    source = inspect.getsource(lambda_svc.invoke_async_with_retry)
    assert 'func.get("event_invoke_config")' in source
    assert "qualifier" not in source


def test_a_retry_still_carries_the_same_token() -> None:
    source = inspect.getsource(stepfunctions._execute_task)
    # Once, before the loop over all attempts.
    assert source.index('ctx["Task"] = {"Token": new_uuid()}') < source.index("while True:")


def test_a_failed_function_still_leaves_its_callback_task_waiting() -> None:
    source = inspect.getsource(stepfunctions._invoke_with_callback)
    assert "except _ExecutionError:\n            pass" in source


def test_an_aborted_execution_still_keeps_its_task_and_its_attempts() -> None:
    assert "_task_tokens" not in inspect.getsource(stepfunctions._stop_execution)
    assert 'execution["status"] = "FAILED"' in inspect.getsource(stepfunctions._fail_execution).split("if ")[0]


def test_an_archive_of_events_is_still_unknown_to_its_cloudformation() -> None:
    assert "AWS::Events::Archive" not in inspect.getsource(provisioners)


def test_conditions_still_do_not_know_the_account() -> None:
    template = {"Conditions": {"Here": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, "000000000000"]}}}
    assert engine._evaluate_conditions(template, {}) == {"Here": False}


def test_heartbeats_are_still_ignored() -> None:
    assert "HeartbeatSeconds" not in inspect.getsource(stepfunctions._invoke_with_callback)


def test_every_failure_of_a_function_still_has_one_name() -> None:
    assert '"errorType": "Sandbox.Timedout" if is_timeout else "Runtime.HandlerError"' in inspect.getsource(lambda_svc)


def test_the_cap_on_invocations_still_counts_those_that_wait() -> None:
    # Set to 0 in local/engine.py: what is over it would be dropped.
    assert "LAMBDA_ACCOUNT_CONCURRENCY" in inspect.getsource(lambda_svc)


def test_send_task_is_still_evaluated_against_all_resources() -> None:
    assert "SendTaskSuccess" not in inspect.getsource(iam_evaluator)


def test_an_alarm_is_still_evaluated_over_all_dimensions_and_without_its_settings() -> None:
    source = inspect.getsource(cloudwatch._evaluate_alarm)
    assert "for (k_ns, k_mn, _), pts in _metrics.items()" in source
    assert "TreatMissingData" not in source
    assert "DatapointsToAlarm" not in source


def test_asking_for_alarms_still_evaluates_none() -> None:
    assert "_evaluate" not in inspect.getsource(cloudwatch._describe_alarms)


def test_alarms_on_expressions_are_still_forgotten_and_refused() -> None:
    assert '"Metrics"' not in inspect.getsource(cloudwatch._put_metric_alarm)
    assert "(metric math) is not supported" in inspect.getsource(provisioners._cw_metric_alarm_record)


def test_cloudwatch_still_has_no_clock_but_the_real_one() -> None:
    assert cloudwatch.time is time


def test_invocations_by_step_functions_are_still_not_recorded() -> None:
    assert "_emit_lambda_metrics" in inspect.getsource(lambda_svc._invoke)
    assert "_emit_lambda_metrics" not in inspect.getsource(stepfunctions._call_lambda)
