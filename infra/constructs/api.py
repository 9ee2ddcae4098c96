"""The HTTP API: every path goes to one function, which routes, validates and refuses."""

from __future__ import annotations

import json
from typing import Final, cast

from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer, HttpJwtAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.constructs.logs import EncryptedLogs

# Neither path nor query: what a caller writes there may name a patient. The function logs the route it took.
ACCESS_LOG_FIELDS: Final = (
    "requestId",
    "identity.sourceIp",
    "requestTimeEpoch",
    "httpMethod",
    "routeKey",
    "status",
    "protocol",
    "responseLength",
    "responseLatency",
    "integrationErrorMessage",
)


HEALTH: Final = "/health"
Authorizer = HttpIamAuthorizer | HttpJwtAuthorizer


class Api(Construct):
    """An HTTP API (payload version 2) with one `$default` route, an access log and a limit on its rate.

    With an authorizer the gateway lets nobody through whom it does not know, but for `/health`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        function: lambda_.IFunction,
        logs: EncryptedLogs,
        rate_per_s: int,
        burst: int,
        authorizer: Authorizer | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        integration = HttpLambdaIntegration("Function", function)
        self.api = apigateway.HttpApi(
            self,
            "Http",
            api_name=name,
            create_default_stage=False,
            default_integration=integration,
            default_authorizer=authorizer,
        )
        if authorizer is not None:  # a load balancer that asks for the health has nothing to show
            self.api.add_routes(
                path=HEALTH,
                methods=[apigateway.HttpMethod.GET],
                integration=integration,
                authorizer=apigateway.HttpNoneAuthorizer(),
            )
        self.stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=rate_per_s, burst_limit=burst),
        )
        cast(
            "apigateway.CfnStage", self.stage.node.default_child
        ).access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=logs.group.log_group_arn,
            format=json.dumps({field.split(".")[-1]: f"$context.{field}" for field in ACCESS_LOG_FIELDS}),
        )
