"""What operators look at, and what wakes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.function import PythonFunction
from infra.constructs.queue import WorkQueue

# Written by the functions as embedded metrics (EMF), with the dimensions State, Step, Verdict, Reason alone.
NAMESPACE: Final = "Ponte"
STATES: Final = (
    "accepted",
    "fetching",
    "rendering",
    "storing",
    "delivering",
    "delivered",
    "failed",
    "expired",
    "cancelled",
)
STATE_METRIC: Final = "JobState"
DURATION_METRIC: Final = "JobDurationSeconds"
GIVEN_UP_METRIC: Final = "CallbacksGivenUp"
ENTRIES_METRIC: Final = "IngestEntries"
REASONS_METRIC: Final = "IngestReasons"
SETBACKS_METRIC: Final = "IngestSetbacks"
VERDICTS: Final = ("accepted", "duplicate", "skipped", "quarantined")
ENDS: Final = ("done", "partial", "quarantined", "gone", "replaced", "failed")

_PERIOD: Final = Duration.minutes(5)
_OLDEST_MESSAGE_S: Final = 15 * 60
_FAILURE_PERCENT: Final = 10
_FAILURE_LEAST_JOBS: Final = 5
_SERVER_ERRORS: Final = 5


def jobs_in(state: str) -> cloudwatch.Metric:
    """How many jobs came into a state."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=STATE_METRIC,
        dimensions_map={"State": state},
        statistic="Sum",
        period=_PERIOD,
        label=state,
    )


def counted(name: str, **dimensions: str) -> cloudwatch.Metric:
    """The sum of one of our metrics."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map=dimensions or None,
        statistic="Sum",
        period=_PERIOD,
    )


def job_duration(statistic: str) -> cloudwatch.Metric:
    """Seconds from the first byte fetched to the stored PDF."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=DURATION_METRIC,
        dimensions_map={"Step": "render"},
        statistic=statistic,
        period=_PERIOD,
        label=statistic,
    )


def failure_percent() -> cloudwatch.MathExpression:
    """Failed jobs in a hundred of those that ended; 0 while too few ended to judge."""
    return cloudwatch.MathExpression(
        expression=(
            f"IF(FILL(failed,0)+FILL(delivered,0)>={_FAILURE_LEAST_JOBS},"
            "100*FILL(failed,0)/(FILL(failed,0)+FILL(delivered,0)),0)"
        ),
        using_metrics={"failed": jobs_in("failed"), "delivered": jobs_in("delivered")},
        period=_PERIOD,
        label="failed, %",
    )


class Observability(Construct):
    """One dashboard and the alarms. Without `topic_arn` the alarms are only seen, nobody is told."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        api: apigateway.HttpApi,
        functions: Mapping[str, PythonFunction],
        queues: Mapping[str, WorkQueue],
        topic_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.alarms = [function.errors_alarm for function in functions.values()]
        for label, queue in queues.items():
            self._watch_queue(label, queue)
        self._watch_jobs(api)
        if "Ingest" in functions:
            self._watch_ingest()
        if topic_arn:
            self._tell(topic_arn)
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=name)
        self._draw_requests(api)
        self._draw_jobs()
        if "Ingest" in functions:
            self._draw_ingest()
        self._draw_queues(queues)
        self._draw_functions(functions)

    def _alarm(
        self, construct_id: str, metric: cloudwatch.IMetric, threshold: float, text: str, *, periods: int = 1
    ) -> None:
        self.alarms.append(
            cloudwatch.Alarm(
                self,
                construct_id,
                metric=metric,
                threshold=threshold,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                evaluation_periods=periods,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
                alarm_description=text,
            )
        )

    def _watch_queue(self, label: str, queue: WorkQueue) -> None:
        self._alarm(
            f"{label}DeadLetters",
            queue.dead_letters.metric_approximate_number_of_messages_visible(
                period=_PERIOD, statistic="Maximum"
            ),
            0,
            f"{label}: messages that could not be done wait in the dead-letter queue.",
        )
        self._alarm(
            f"{label}OldestMessage",
            queue.queue.metric_approximate_age_of_oldest_message(period=_PERIOD),
            _OLDEST_MESSAGE_S,
            f"{label}: a message has waited for more than {_OLDEST_MESSAGE_S} s.",
            periods=2,
        )

    def _watch_jobs(self, api: apigateway.HttpApi) -> None:
        self._alarm(
            "FailureRatio",
            failure_percent(),
            _FAILURE_PERCENT,
            f"More than {_FAILURE_PERCENT} % of the jobs that ended in the last 15 minutes failed.",
            periods=3,
        )
        self._alarm(
            "CallbacksGivenUp",
            cloudwatch.Metric(
                namespace=NAMESPACE, metric_name=GIVEN_UP_METRIC, statistic="Sum", period=_PERIOD
            ),
            0,
            "A result was not taken by its receiver, at every attempt: its job says why.",
        )
        self._alarm(
            "ApiServerErrors",
            api.metric_server_error(period=_PERIOD, statistic="Sum"),
            _SERVER_ERRORS,
            f"The API answered more than {_SERVER_ERRORS} requests with 5xx in 5 minutes.",
        )

    def _watch_ingest(self) -> None:
        self._alarm(
            "IngestSetbacks",
            counted(SETBACKS_METRIC),
            0,
            "Archives cannot be brought to their destination: each is tried again, for days.",
            periods=3,
        )
        self._alarm(
            "UidConflicts",
            counted(REASONS_METRIC, Reason="UID_CONFLICT"),
            0,
            "An instance came with the UID of another one and other content: it is in quarantine.",
        )

    def _tell(self, topic_arn: str) -> None:
        for alarm in self.alarms:
            resource = alarm.node.default_child
            assert isinstance(resource, cloudwatch.CfnAlarm)  # noqa: S101  what an Alarm is made of
            resource.alarm_actions = [topic_arn]
            resource.ok_actions = [topic_arn]

    def _draw_requests(self, api: apigateway.HttpApi) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Requests",
                width=12,
                left=[
                    api.metric_count(period=_PERIOD, statistic="Sum", label="all"),
                    api.metric_client_error(period=_PERIOD, statistic="Sum", label="4xx"),
                    api.metric_server_error(period=_PERIOD, statistic="Sum", label="5xx"),
                ],
            ),
            cloudwatch.GraphWidget(
                title="Answer times, ms",
                width=12,
                left=[
                    api.metric_latency(period=_PERIOD, statistic=s, label=s) for s in ("p50", "p95", "p99")
                ],
            ),
        )

    def _draw_jobs(self) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Jobs by state", width=12, stacked=True, left=[jobs_in(state) for state in STATES]
            ),
            cloudwatch.GraphWidget(
                title="Duration of rendering, s",
                width=8,
                left=[job_duration(s) for s in ("p50", "p95", "Maximum")],
            ),
            cloudwatch.GraphWidget(title="Failed jobs, %", width=4, left=[failure_percent()]),
        )

    def _draw_ingest(self) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Members of archives",
                width=8,
                stacked=True,
                left=[counted(ENTRIES_METRIC, Verdict=word).with_(label=word) for word in VERDICTS],
            ),
            cloudwatch.GraphWidget(
                title="Archives by their end",
                width=8,
                stacked=True,
                left=[counted("ArchivesSettled", Verdict=end).with_(label=end) for end in ENDS],
            ),
            cloudwatch.GraphWidget(
                title="From arrival to the last confirmation, s; bytes delivered",
                width=8,
                left=[
                    cloudwatch.Metric(
                        namespace=NAMESPACE,
                        metric_name="IngestLatencySeconds",
                        dimensions_map={"Step": "ingest"},
                        statistic=statistic,
                        period=_PERIOD,
                        label=statistic,
                    )
                    for statistic in ("p50", "p95", "Maximum")
                ],
                right=[counted("IngestBytes")],
            ),
        )

    def _draw_queues(self, queues: Mapping[str, WorkQueue]) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Age of the oldest message, s",
                width=8,
                left=[
                    queue.queue.metric_approximate_age_of_oldest_message(period=_PERIOD, label=label)
                    for label, queue in queues.items()
                ],
            ),
            cloudwatch.GraphWidget(
                title="Messages waiting",
                width=8,
                left=[
                    queue.queue.metric_approximate_number_of_messages_visible(period=_PERIOD, label=label)
                    for label, queue in queues.items()
                ],
            ),
            cloudwatch.GraphWidget(
                title="Dead letters",
                width=8,
                left=[
                    queue.dead_letters.metric_approximate_number_of_messages_visible(
                        period=_PERIOD, statistic="Maximum", label=label
                    )
                    for label, queue in queues.items()
                ],
            ),
        )

    def _draw_functions(self, functions: Mapping[str, PythonFunction]) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Errors of functions",
                width=8,
                left=[
                    f.function.metric_errors(period=_PERIOD, label=label) for label, f in functions.items()
                ],
            ),
            cloudwatch.GraphWidget(
                title="Duration of functions, ms (p95)",
                width=8,
                left=[
                    f.function.metric_duration(period=_PERIOD, statistic="p95", label=label)
                    for label, f in functions.items()
                ],
            ),
            cloudwatch.GraphWidget(
                title="Throttles of functions",
                width=8,
                left=[
                    f.function.metric_throttles(period=_PERIOD, label=label) for label, f in functions.items()
                ],
            ),
        )
