"""What changes of resources mean for those who use a deployment: pure, by type and action.

Where a type has no row, its change is not noticed by requests.
"""

from collections.abc import Iterable, Iterator

from penstock.plan.changes import Action, Change

BEGIN = {Action.CREATE}
CHANGED = {Action.CHANGE, Action.MAY_REPLACE, Action.REPLACE}
RENEWED = {Action.MAY_REPLACE, Action.REPLACE}
END = {Action.REMOVE}
LOST = {Action.MAY_REPLACE, Action.REPLACE, Action.REMOVE}

MEANINGS: tuple[tuple[str, set[Action], str], ...] = (
    (
        "AWS::SageMaker::Endpoint",
        BEGIN,
        "A new endpoint: it answers once its machines and the model are there, which takes ten "
        "minutes or more.",
    ),
    (
        "AWS::SageMaker::Endpoint",
        {Action.CHANGE},
        "The endpoint goes blue/green: new machines come up beside the old ones, then all traffic "
        "moves at once, and back by itself if the alarm on errors goes off. Meanwhile there are "
        "twice as many machines, on the bill and on the quota.",
    ),
    (
        "AWS::SageMaker::Endpoint",
        RENEWED,
        "CloudFormation would have to replace the endpoint, which its fixed name does not allow: "
        "destroy it first, or choose another name.",
    ),
    ("AWS::SageMaker::Endpoint", END, "The endpoint goes: every request fails from then on."),
    (
        "AWS::SageMaker::InferenceComponent",
        BEGIN,
        "{name} becomes available on the endpoint.",
    ),
    (
        "AWS::SageMaker::InferenceComponent",
        CHANGED,
        "{name} is rolled copy by copy, and goes back by itself if the alarm on errors goes off. "
        "An adapter is swapped at once.",
    ),
    ("AWS::SageMaker::InferenceComponent", END, "{name} goes: requests for it fail from then on."),
    (
        "AWS::ApplicationAutoScaling::ScalableTarget",
        CHANGED,
        "The number of copies has other bounds; those that run stay until the load moves them.",
    ),
    (
        "AWS::ECS::Service",
        CHANGED,
        "The tasks of {name} are renewed one after the other; requests that run are ended well.",
    ),
    ("AWS::ECS::Service", END, "{name} goes: its address does not answer any more."),
    (
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        RENEWED,
        "The load balancer is replaced: its address changes.",
    ),
    (
        "AWS::ApiGateway::RestApi",
        RENEWED,
        "The API is replaced: its address changes.",
    ),
    ("AWS::ApiGateway::ApiKey", LOST, "The API key {name} does not hold any more."),
    ("AWS::S3::Bucket", LOST, "The bucket goes, with all that is in it: DATA IS LOST."),
    ("AWS::RDS::DBCluster", LOST, "The database {name} goes: tenants, keys and usage ARE LOST."),
    ("AWS::EFS::FileSystem", LOST, "The file system {name} goes: DATA IS LOST."),
    ("AWS::DynamoDB::Table", LOST, "The table {name} goes: DATA IS LOST."),
    ("AWS::Logs::LogGroup", LOST, "The logs in {name} are lost."),
)
QUIET = "Requests do not notice."


def consequences(changes: Iterable[Change]) -> Iterator[str]:
    """A sentence for each thing that somebody would notice; one for none."""
    told = [
        meaning.replace("{name}", change.known_as or change.name)
        for change in changes
        for kind, actions, meaning in MEANINGS
        if change.kind == kind and change.action in actions
    ]
    yield from dict.fromkeys(told or [QUIET])
