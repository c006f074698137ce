"""The front's part of the main stack, and its addresses."""

from collections.abc import Iterator

from troposphere import AWSObject, Output, Ref, Sub

from penstock.targets.aws.alarms import alarm
from penstock.targets.aws.firewall import firewall
from penstock.targets.front.balancer import door
from penstock.targets.front.gateway import gateway, key_command, secret_command
from penstock.targets.front.rest import STAGE, plan_title, rest, stage_arn
from penstock.targets.front.scene import UI, Scene
from penstock.targets.front.secrets import ADMIN, UI_PASSWORD
from penstock.targets.front.ui import ADMINISTRATOR, ui
from penstock.targets.front.watching import gateway_watches, rest_watches

QUESTION = (
    '{"model":"MODEL","messages":[{"role":"user","content":"Hello"}],"max_tokens":50,'
    '"stream":true}'
)


def front_main(scene: Scene, actions: list[object]) -> list[AWSObject]:
    """Everything between clients and the endpoint; `actions` are told of alarms."""
    front = scene.manifest.front
    if front.kind == "rest":
        made = rest(scene)
        made += [alarm(watch, actions) for watch in rest_watches()]
        return made + (firewall(front.waf_rate, stage_arn()) if front.waf else [])
    opened = door(scene)
    alarms = [alarm(watch, actions) for watch in gateway_watches()]
    made = [*opened.made, *alarms]
    made += gateway(scene, opened, [Ref(each) for each in alarms])
    made += ui(scene, opened)
    return made + (firewall(front.waf_rate, Ref("LoadBalancer")) if front.waf else [])


def front_outputs(scene: Scene, model: str) -> Iterator[Output]:
    """Addresses, ready `curl` lines, and the commands that fetch the keys."""
    tenants = [name for name in scene.files.tenants if name != UI]
    question = QUESTION.replace("MODEL", model)
    keys = [f'-H "Authorization: Bearer $({_tenant_key(tenants)})"']
    if scene.manifest.front.kind == "rest":
        base = f"https://${{Api}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}"
        shown = (
            f"aws apigateway get-api-key --region ${{AWS::Region}} --include-value --query value"
            f" --output text --api-key ${{{plan_title(tenants[0])}Key}}"
        )
        yield Output("UsageKeyCommand", Value=Sub(shown))
        keys.append(f'-H "x-api-key: $({shown})"')
    else:
        base = _address(scene)
        yield Output("AdminKeyCommand", Value=Sub(secret_command(f"{ADMIN}Arn")))
    yield Output("GatewayUrl", Value=_filled(base))
    yield Output("OpenAIBaseUrl", Value=_filled(f"{base}/v1"))
    if tenants:
        yield Output("ApiKeyCommand", Value=Sub(key_command(tenants[0])))
    yield Output(
        "CurlExample",
        Value=Sub(
            f"curl -N {base}/v1/chat/completions -H 'Content-Type: application/json' "
            f"{' '.join(keys)} -d '{question}'"
        ),
    )
    if scene.has_ui:
        yield Output("UiUrl", Value=_filled(base))
        yield Output("UiLogin", Value=scene.manifest.target.alarm_email or ADMINISTRATOR)
        yield Output("UiPasswordCommand", Value=Sub(secret_command(f"{UI_PASSWORD}Arn")))


def _filled(text: str) -> object:
    return Sub(text) if "${" in text else text


def _tenant_key(tenants: list[str]) -> str:
    """What stands for a tenant's key in an example: the command that shows it."""
    return key_command(tenants[0]) if tenants else "cat my-key"


def _address(scene: Scene) -> str:
    front = scene.manifest.front
    scheme = "http" if front.plain_http else "https"
    return f"{scheme}://{front.domain or '${LoadBalancer.DNSName}'}"
