"""Words of which tests write templates."""

from typing import Any

Tree = dict[str, Any]
NOTHING: Tree = {"Version": "2012-10-17", "Statement": []}


def att(name: str, attribute: str) -> Tree:
    return {"Fn::GetAtt": [name, attribute]}


def ref(name: str) -> Tree:
    return {"Ref": name}


def of(kind: str, **properties: Any) -> Tree:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def allow(action: str) -> Tree:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}],
    }
