"""The boxes at the clinics, seen from the cloud: a dashboard, alarms for each site, and what a box may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.inbox import OWN_PREFIXES, Inbox
from infra.constructs.storage import Storage

NAMESPACE: Final = "Ponte/Edge"
"""What `cloudwatch.namespace` of a router is by default; the names and the dimension `Site` are its own."""
INBOX_PREFIX: Final = "inbox/"
"""What `prefix` of a router's destination is by default."""
_PERIOD: Final = Duration.minutes(5)
_OLDEST_S: Final = 60 * 60
_LEAST_FREE_PERCENT: Final = 10
_SILENT_PERIODS: Final = 3
_WIDGETS_A_ROW: Final = 24


class Edge(Construct):
    """Without `topic_arn` the alarms are only seen, nobody is told. `inbox` is None where there is none."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        sites: Sequence[str],
        topic_arn: str,
        storage: Storage,
        inbox: Inbox | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.alarms = [alarm for site in sites for alarm in self._watch(site)]
        if topic_arn:
            self._tell(topic_arn)
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=name)
        self._draw(sites)
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="What a Ponte box may do; attach it to the identity that the clinic's box has.",
            statements=[self._may_say(), *(self._may_put(storage, inbox) if inbox else ())],
        )

    # What wakes somebody.

    def _watch(self, site: str) -> list[cloudwatch.Alarm]:
        return [
            self._alarm(
                f"{site}Silent",
                _metric("Heartbeat", site, "Sum"),
                1,
                f"{site}: the box has not been heard of for {_SILENT_PERIODS * 5} minutes: it is off, its "
                "router does not run, or its way to AWS is cut.",
                below=True,
                periods=_SILENT_PERIODS,
                missing=cloudwatch.TreatMissingData.BREACHING,
            ),
            self._alarm(
                f"{site}OldestUnforwarded",
                _metric("OldestUnforwardedSeconds", site, "Maximum"),
                _OLDEST_S,
                f"{site}: an image has waited for more than {_OLDEST_S // 60} minutes for a destination.",
                periods=2,
            ),
            self._alarm(
                f"{site}DestinationDown",
                _metric("DestinationsDown", site, "Minimum"),
                0,
                f"{site}: a destination has taken nothing for 15 minutes.",
                periods=3,
            ),
            self._alarm(
                f"{site}Disk",
                _metric("DiskFreePercent", site, "Minimum"),
                _LEAST_FREE_PERCENT,
                f"{site}: less than {_LEAST_FREE_PERCENT} % of the disk is free.",
                below=True,
            ),
            self._alarm(
                f"{site}NotReceiving",
                _metric("NotReceiving", site, "Minimum"),
                0,
                f"{site}: the box takes no images from modalities.",
            ),
        ]

    def _alarm(
        self,
        construct_id: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        text: str,
        *,
        below: bool = False,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        operators = cloudwatch.ComparisonOperator
        return cloudwatch.Alarm(
            self,
            construct_id,
            metric=metric,
            threshold=threshold,
            comparison_operator=operators.LESS_THAN_THRESHOLD if below else operators.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=missing,
            alarm_description=text,
        )

    def _tell(self, topic_arn: str) -> None:
        for alarm in self.alarms:
            resource = alarm.node.default_child
            assert isinstance(resource, cloudwatch.CfnAlarm)  # noqa: S101  what an Alarm is made of
            resource.alarm_actions = [topic_arn]
            resource.ok_actions = [topic_arn]

    # What somebody looks at.

    def _draw(self, sites: Sequence[str]) -> None:
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Boxes", width=_WIDGETS_A_ROW, alarms=self.alarms)
        )
        self.dashboard.add_widgets(
            _graph("Oldest image not forwarded, s", "OldestUnforwardedSeconds", sites, "Maximum"),
            _graph("Destinations down", "DestinationsDown", sites, "Maximum"),
            _graph("Free disk, %", "DiskFreePercent", sites, "Minimum"),
        )
        self.dashboard.add_widgets(
            _graph("Images stored", "InstancesStored", sites, "Sum"),
            _graph("Images refused", "InstancesRefused", sites, "Sum"),
            _graph("In quarantine", "QuarantineEntries", sites, "Maximum"),
        )
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Queues by destination",
                width=_WIDGETS_A_ROW // 2,
                left=[_by_destination("QueueDepth", site, "Maximum") for site in sites],
            ),
            _graph("Not delivered", "Undelivered", sites, "Maximum", width=_WIDGETS_A_ROW // 2),
        )

    # What a box may do.

    def _may_say(self) -> iam.PolicyStatement:
        """CloudWatch knows no resources for this; the namespace is what it can be bound to."""
        return iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
        )

    def _may_put(self, storage: Storage, inbox: Inbox) -> list[iam.PolicyStatement]:
        """Archives below one prefix: they can be put, and read again to know what was put; nothing is listed
        but uploads that were cut off, and nothing removed."""
        assert not INBOX_PREFIX.startswith(OWN_PREFIXES)  # noqa: S101  what the functions write is theirs
        via = {"StringEquals": {"kms:ViaService": f"s3.{Stack.of(self).region}.amazonaws.com"}}
        return [
            iam.PolicyStatement(
                actions=["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"],
                resources=[inbox.bucket.arn_for_objects(f"{INBOX_PREFIX}*")],
            ),
            iam.PolicyStatement(
                actions=["s3:ListBucketMultipartUploads"], resources=[inbox.bucket.bucket_arn]
            ),
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[storage.data_key.key_arn],
                conditions=via,
            ),
        ]


def _metric(name: str, site: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"Site": site},
        statistic=statistic,
        period=_PERIOD,
    )


def _by_destination(name: str, site: str, statistic: str) -> cloudwatch.MathExpression:
    """All destinations of a site: which there are the stack does not know."""
    what = f'{{"{NAMESPACE}",Destination,Site}} MetricName="{name}" Site="{site}"'
    search = f"SEARCH('{what}', '{statistic}', {_PERIOD.to_seconds():.0f})"
    return cloudwatch.MathExpression(expression=search, using_metrics={}, label=f"{site} ")


def _graph(
    title: str, name: str, sites: Sequence[str], statistic: str, *, width: int = _WIDGETS_A_ROW // 3
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title, width=width, left=[_metric(name, site, statistic).with_(label=site) for site in sites]
    )
