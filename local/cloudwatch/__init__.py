"""CloudWatch without AWS: samples, statistics, metric math, alarms. The dashboard's picture and the drill run on it."""
