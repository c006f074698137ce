"""Secrets that nobody has to think of: made by AWS, read by what needs them, shown to nobody."""

import re

from troposphere import AWSObject, secretsmanager

from penstock.targets.front.scene import Scene

ADMIN, TURNS, DATABASE = "AdminKey", "TurnsKey", "DatabasePassword"
UI_SESSIONS, UI_PASSWORD = "UiSessionsKey", "UiPassword"


def secrets(scene: Scene) -> list[AWSObject]:
    """The admin key, the key that signs continuations, a key for each tenant, and so on."""
    made = [_tenant(scene, name) for name in scene.files.tenants]
    if scene.manifest.turns.key is None:
        made.append(_random(scene, TURNS, "Signs what clients carry between turns", 64))
    if scene.manifest.front.kind == "gateway":
        made.append(_random(scene, ADMIN, "Key of the gateway's admin API", 48))
    if scene.is_managed:
        made.append(_random(scene, DATABASE, "Password of the gateway's database", 32))
    if scene.has_ui:
        made.append(_random(scene, UI_SESSIONS, "Signs the sessions of Open WebUI", 64))
        made.append(_random(scene, UI_PASSWORD, "Open WebUI's first administrator", 24))
    return made


def tenant_title(tenant: str) -> str:
    """The logical id of a tenant's key: letters and digits, no two tenants the same."""
    plain = re.sub(r"[^A-Za-z0-9]", lambda found: f"x{ord(found[0]):x}", tenant)
    return f"KeyOf{plain[:1].upper()}{plain[1:]}"


def _tenant(scene: Scene, name: str) -> AWSObject:
    """The key of a tenant; its name is what the gateway looks it up by."""
    secret = _random(scene, tenant_title(name), f"API key of the tenant {name}", 48)
    secret.Name = f"{scene.files.prefix}{name}"
    return secret


def _random(scene: Scene, title: str, about: str, length: int) -> secretsmanager.Secret:
    options = {} if scene.key is None else {"KmsKeyId": scene.key}
    return secretsmanager.Secret(
        title,
        Description=f"{about} ({scene.stack})",
        GenerateSecretString=secretsmanager.GenerateSecretString(
            PasswordLength=length, ExcludePunctuation=True
        ),
        **options,
    )
