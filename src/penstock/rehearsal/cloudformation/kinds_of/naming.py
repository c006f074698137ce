"""Route 53: zones and records. Cloud Map: names inside a network."""

import contextlib

from penstock.rehearsal.cloudformation.kinds import Api, Properties, ResourceFailed, Scene
from penstock.rehearsal.cloudformation.records import Made

KNOWN = {"HostedZoneId", "HostedZoneName", "Name", "Type", "TTL", "ResourceRecords", "AliasTarget"}


def _record(scene: Scene, wish: Properties) -> Properties:
    """Return a whole ResourceRecordSet, and in which zone it is."""
    if odd := set(wish) - KNOWN - {"Comment"}:
        raise ResourceFailed(f"the stand-in does not know the record's {sorted(odd)}")
    told: Properties = {"Name": wish["Name"], "Type": wish["Type"]}
    if target := wish.get("AliasTarget"):
        health = str(target.get("EvaluateTargetHealth", False)).lower() == "true"
        told["AliasTarget"] = {
            "DNSName": target["DNSName"],
            "HostedZoneId": target["HostedZoneId"],
            "EvaluateTargetHealth": health,
        }
    else:
        told["TTL"] = int(wish.get("TTL", 300))
        told["ResourceRecords"] = [{"Value": each} for each in wish.get("ResourceRecords", ())]
    return {"zone": _zone(scene, wish), "record": told}


def _zone(scene: Scene, wish: Properties) -> str:
    if "HostedZoneId" in wish:
        return str(wish["HostedZoneId"])
    name = wish["HostedZoneName"].rstrip(".") + "."
    for each in scene.client("route53").list_hosted_zones()["HostedZones"]:
        if each["Name"] == name:
            return str(each["Id"])
    raise ResourceFailed(f"No hosted zones named {name} found")


def _change_record(scene: Scene, action: str, wish: Properties) -> None:
    told = _record(scene, wish)
    scene.client("route53").change_resource_record_sets(
        HostedZoneId=told["zone"],
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": told["record"]}]},
    )


def _put_record(scene: Scene, made: Made) -> None:
    _change_record(scene, "CREATE", made.properties)


def _amend_record(scene: Scene, made: Made, wish: Properties) -> None:
    if (made.properties["Name"], made.properties["Type"]) != (wish["Name"], wish["Type"]):
        _change_record(scene, "DELETE", made.properties)
    _change_record(scene, "UPSERT", wish)


def _drop_record(scene: Scene, made: Made) -> None:
    _change_record(scene, "DELETE", made.properties)


def _named_once(scene: Scene, wish: Properties) -> Properties:
    return {**wish, "CallerReference": scene.generate(60, lower=True)}


def _find_namespace(scene: Scene, made: Made) -> None:
    """The call answers with an operation; the namespace is there at once."""
    cloud_map = scene.client("servicediscovery")
    name = made.properties["Name"]
    found = [e for e in cloud_map.list_namespaces()["Namespaces"] if e["Name"] == name]
    told = cloud_map.get_namespace(Id=found[-1]["Id"])["Namespace"]
    made.physical_id = told["Id"]
    zone = told.get("Properties", {}).get("DnsProperties", {}).get("HostedZoneId", "")
    made.attributes |= {"Id": told["Id"], "Arn": told["Arn"], "HostedZoneId": zone}


def _drop_zone(scene: Scene, made: Made) -> None:
    """Delete the zone of a namespace, which moto leaves."""
    dns, zone = scene.client("route53"), made.attributes["HostedZoneId"]
    with contextlib.suppress(dns.exceptions.NoSuchHostedZone):
        dns.delete_hosted_zone(Id=zone)


KINDS = {
    "AWS::ServiceDiscovery::PrivateDnsNamespace": Api(
        "servicediscovery", "create_private_dns_namespace", "=Name", after=_find_namespace,
        gone=_drop_zone,
        delete="delete_namespace", delete_by={"Id": "@ref"},
    ),
    "AWS::ServiceDiscovery::Service": Api(
        "servicediscovery", "create_service", "Service.Id",
        {"Id": "Service.Id", "Arn": "Service.Arn"},
        delete="delete_service", delete_by={"Id": "@ref"},
    ),
    "AWS::Route53::HostedZone": Api(
        "route53", "create_hosted_zone", "HostedZone.Id", {"Id": "HostedZone.Id"}, tags="",
        prepare=_named_once, delete="delete_hosted_zone", delete_by={"Id": "@ref"},
    ),
    "AWS::Route53::RecordSet": Api(
        "route53", "", "=Name", after=_put_record, amend=_amend_record,
        before_delete=_drop_record,
    ),
}  # fmt: skip
