"""The load balancer: HTTPS, its certificate and name, who may connect, and where paths lead."""

from dataclasses import dataclass

from troposphere import AWSObject, GetAtt, Ref, certificatemanager, ec2, route53
from troposphere import elasticloadbalancingv2 as elb

from penstock.manifest.model import Manifest
from penstock.targets.aws.network import inwards
from penstock.targets.front.scene import PORT, Scene

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
GATEWAY_PATHS = (
    ("/v1/*", "/invoke", "/tools", "/mcp", "/ready"),
    ("/admin/*", "/metrics", "/openapi.json"),
)
"""What the gateway answers where Open WebUI has all other paths; five are the most of a rule."""
MOST_IDLE_S = 4000
SPARE_S = 15
"""The gateway keeps idle connections for so much longer than the load balancer."""
DRAIN_S = 100


@dataclass(frozen=True, slots=True)
class Door:
    """The groups of targets by kind, and what joins each to the load balancer, by logical id.

    ECS refuses a service whose group no load balancer leads to, so a service waits for that.
    """

    targets: dict[str, AWSObject]
    joined: dict[str, list[str]]
    made: list[AWSObject]


def door(scene: Scene) -> Door:
    """The load balancer `LoadBalancer` and all that belongs to it."""
    front = scene.manifest.front
    targets = {"gateway": _targets("GatewayTargets", "/ready")}
    if scene.has_ui:
        targets["ui"] = _targets("UiTargets", "/health")
    made: list[AWSObject] = [*_group(scene), *targets.values()]
    balancer = elb.LoadBalancer(
        "LoadBalancer",
        Type="application",
        Scheme="internet-facing" if scene.is_public else "internal",
        Subnets=Ref("PublicSubnetIds" if scene.is_public else "SubnetIds"),
        SecurityGroups=[GetAtt("DoorGroup", "GroupId")],
        LoadBalancerAttributes=_attributes(scene),
    )
    made.append(balancer)
    first = elb.Action(Type="forward", TargetGroupArn=Ref(targets.get("ui", targets["gateway"])))
    if front.plain_http:
        listener = _listener("Listener", 80, "HTTP", first)
    else:
        listener = _listener("Listener", 443, "HTTPS", first)
        listener.SslPolicy = TLS_POLICY
        held = front.certificate or Ref("Certificate")
        listener.Certificates = [elb.Certificate(CertificateArn=held)]
        onward = elb.RedirectConfig(Protocol="HTTPS", Port="443", StatusCode="HTTP_301")
        made.append(
            _listener(
                "PlainListener", 80, "HTTP", elb.Action(Type="redirect", RedirectConfig=onward)
            )
        )
        made += _certificate(scene)
    rules = _rules(scene, listener, targets)
    joined = {kind: [listener.title] for kind in targets}
    if rules:
        joined["gateway"] = [rule.title for rule in rules]
    made += [listener, *rules, *_name(scene)]
    return Door(targets, joined, made)


def idle_s(manifest: Manifest) -> int:
    """How long a connection may be silent: as long as a request may be held, and then take."""
    held_s = manifest.scale.wake.timeout_s if manifest.scale.min == 0 else 0
    longest_s = int(manifest.gateway.request_timeout_s + held_s)
    return min(longest_s, MOST_IDLE_S - SPARE_S)


def keep_alive_s(manifest: Manifest) -> int:
    """How long the gateway keeps an idle connection: longer than the load balancer does.

    Else the load balancer may send a request on one that is just being closed, and answer 502.
    """
    return idle_s(manifest) + SPARE_S


def _group(scene: Scene) -> list[AWSObject]:
    open_ports = (80,) if scene.manifest.front.plain_http else (80, 443)
    door = ec2.SecurityGroup(
        "DoorGroup",
        GroupDescription=f"Load balancer of {scene.stack}",
        VpcId=Ref("VpcId"),
        SecurityGroupIngress=[
            ec2.SecurityGroupRule(
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
                CidrIp=cidr,
                Description="Clients" if port == 443 else "Clients, who are sent on to HTTPS",
            )
            for port in open_ports
            for cidr in scene.manifest.front.allow
        ],
        SecurityGroupEgress=[
            ec2.SecurityGroupRule(
                IpProtocol="tcp",
                FromPort=PORT,
                ToPort=PORT,
                DestinationSecurityGroupId=Ref(group),
                Description="Tasks",
            )
            for group in _groups(scene)
        ],
    )
    ways = [
        inwards(f"DoorTo{name}", Ref(name), GetAtt(door, "GroupId"), PORT, "The load balancer")
        for name in _groups(scene)
    ]
    return [door, *ways]


def _groups(scene: Scene) -> list[str]:
    return ["GatewayGroupId", *(["UiGroupId"] if scene.has_ui else [])]


def _targets(title: str, path: str) -> elb.TargetGroup:
    return elb.TargetGroup(
        title,
        VpcId=Ref("VpcId"),
        TargetType="ip",
        Protocol="HTTP",
        Port=PORT,
        HealthCheckPath=path,
        HealthCheckIntervalSeconds=15,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
        Matcher=elb.Matcher(HttpCode="200"),
        TargetGroupAttributes=[
            elb.TargetGroupAttribute(
                Key="deregistration_delay.timeout_seconds", Value=str(DRAIN_S)
            ),
            elb.TargetGroupAttribute(
                Key="load_balancing.algorithm.type", Value="least_outstanding_requests"
            ),
        ],
    )


def _attributes(scene: Scene) -> list[elb.LoadBalancerAttributes]:
    told = {
        "idle_timeout.timeout_seconds": str(idle_s(scene.manifest)),
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "routing.http.desync_mitigation_mode": "strictest",
    }
    return [elb.LoadBalancerAttributes(Key=key, Value=value) for key, value in told.items()]


def _listener(title: str, port: int, protocol: str, first: elb.Action) -> elb.Listener:
    return elb.Listener(
        title,
        LoadBalancerArn=Ref("LoadBalancer"),
        Port=port,
        Protocol=protocol,
        DefaultActions=[first],
    )


def _certificate(scene: Scene) -> list[AWSObject]:
    """A certificate that proves itself by a record in the zone, now and whenever it is renewed."""
    front = scene.manifest.front
    if front.certificate:
        return []
    proof = certificatemanager.DomainValidationOption(
        DomainName=front.domain, HostedZoneId=front.zone
    )
    return [
        certificatemanager.Certificate(
            "Certificate",
            DomainName=front.domain,
            ValidationMethod="DNS",
            DomainValidationOptions=[proof],
        )
    ]


def _name(scene: Scene) -> list[AWSObject]:
    front = scene.manifest.front
    if not (front.zone and front.domain):
        return []
    place = route53.AliasTarget(
        DNSName=GetAtt("LoadBalancer", "DNSName"),
        HostedZoneId=GetAtt("LoadBalancer", "CanonicalHostedZoneID"),
        EvaluateTargetHealth=False,
    )
    return [
        route53.RecordSetType(
            "Name", Name=front.domain, HostedZoneId=front.zone, Type="A", AliasTarget=place
        )
    ]


def _rules(scene: Scene, listener: AWSObject, targets: dict[str, AWSObject]) -> list[AWSObject]:
    """Where Open WebUI has the first page, the gateway's paths are told apart."""
    if not scene.has_ui:
        return []
    return [
        elb.ListenerRule(
            f"GatewayPaths{number}",
            ListenerArn=Ref(listener),
            Priority=number * 10,
            Conditions=[
                elb.Condition(
                    Field="path-pattern",
                    PathPatternConfig=elb.PathPatternConfig(Values=list(paths)),
                )
            ],
            Actions=[
                elb.ListenerRuleAction(Type="forward", TargetGroupArn=Ref(targets["gateway"]))
            ],
        )
        for number, paths in enumerate(GATEWAY_PATHS, start=1)
    ]
