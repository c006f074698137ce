"""The rendered scripts run: in a real shell, with an AWS CLI that writes down what it is asked."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.targets.sagemaker.cases import CASES, DOMAIN, emitted

from penstock.targets.aws.deployer_policy import deployer_policy
from penstock.targets.aws.policy_parts import MOST_CHARACTERS, policy_parts
from penstock.targets.sagemaker.handbook import Place, handbook

AWS = """#!/usr/bin/env bash
echo "aws $*" >> "$ASKED"
case "$1 $2" in
  "cloudformation describe-stacks")
    [ -n "$UNFINISHED" ] && { echo None; exit; }
    [[ "$*" =~ OutputKey==.([A-Za-z]+) ]] && echo "told-${BASH_REMATCH[1]}" ;;
  "ecr describe-images") exit "${MISSING:-254}" ;;
  "ecr get-login-password") echo secret ;;
  "codebuild start-build") echo build-1 ;;
  "codebuild batch-get-builds") echo "${BUILT:-SUCCEEDED}" ;;
  "sagemaker describe-domain")
    [[ "$*" =~ SecurityGroups ]] && echo "${GROUPS_OF:-of-the-domain}" || echo "of-the-domain" ;;
  "sts get-caller-identity")
    [[ "$*" =~ Account ]] && echo 123456789012 || echo arn:aws:iam::123456789012:user/me ;;
  "iam create-role"|"iam update-assume-role-policy")
    for each in "$@"; do [[ "$each" = file://* ]] && cat "${each#file://}" >> "$ASKED"; done ;;
  "iam get-role"|"iam get-policy"|"iam get-open-id-connect-provider")
    [[ "$*" =~ Role.Arn ]] && echo arn:aws:iam::123456789012:role/made || exit "${KNOWN:-254}" ;;
  "iam list-policy-versions") echo v1 ;;
esac
true
"""
DOCKER = """#!/usr/bin/env bash
[ "$1" = info ] && exit "${NO_DOCKER:-1}"
cat > /dev/null < /dev/null
echo "docker $*" >> "$ASKED"
"""
UNZIP = '#!/usr/bin/env bash\necho "unzip $*" >> "$ASKED"\n'
SLEEP = "#!/usr/bin/env bash\n"


@dataclass(frozen=True)
class Shell:
    """A rendered folder, and programs that stand before the real ones."""

    folder: Path

    def run(self, script: str, *arguments: str, **variables: str) -> tuple[int, str, list[str]]:
        asked = self.folder / "asked.txt"
        asked.unlink(missing_ok=True)
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            [str(self.folder / "rendered" / script), *arguments],
            env={**os.environ, "PATH": path, "ASKED": str(asked), **variables},
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        told = asked.read_text().splitlines() if asked.exists() else []
        return done.returncode, done.stderr, told


def shell(folder: Path, name: str) -> Shell:
    (folder / "bin").mkdir()
    programs = {"aws": AWS, "docker": DOCKER, "unzip": UNZIP, "sleep": SLEEP}
    for program, text in programs.items():
        (folder / "bin" / program).write_text(text)
        (folder / "bin" / program).chmod(0o755)
    domain = DOMAIN.id if CASES[name].get("target", {}).get("domain") else None
    stacks = emitted(name)
    policy = deployer_policy("support-bot", (stacks.base.template, stacks.main.template))
    place = Place("support-bot", "us-east-1", "rendered", domain)
    for path, text in handbook(place, stacks, policy_parts(policy)):
        file = folder / "rendered" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    return Shell(folder)


def order(asked: list[str], *pieces: str) -> list[int]:
    """Where each of `pieces` is first asked for."""
    return [next(n for n, line in enumerate(asked) if piece in line) for piece in pieces]


@pytest.mark.parametrize("name", CASES)
def test_the_stacks_are_applied_in_order_with_every_parameter(tmp_path: Path, name: str) -> None:
    code, errors, asked = shell(tmp_path, name).run("deploy.sh")
    assert code == 0, errors
    base, main = order(
        asked, "--stack-name penstock-support-bot-base --template", "--template-file main.json"
    )
    assert base < main
    for stack, line in ((emitted(name).base, asked[base]), (emitted(name).main, asked[main])):
        for parameter in stack.template.get("Parameters", {}):  # type: ignore[attr-defined]
            assert f" {parameter}=" in line
            assert f" {parameter}= " not in line
        for capability in stack.capabilities:
            assert f"--capabilities {capability}" in line
    for upload in emitted(name).uploads:
        (at,) = order(asked, f"s3://told-BucketName/{upload.key}")
        assert base < at < main


def test_images_are_built_by_codebuild_where_there_is_no_docker(tmp_path: Path) -> None:
    made = shell(tmp_path, "gateway-managed")
    code, errors, asked = made.run("deploy.sh")
    assert code == 0, errors
    started = [line for line in asked if "codebuild start-build" in line]
    assert len(started) == 2
    for build, line in zip(emitted("gateway-managed").builds, started, strict=True):
        assert f"--source-location-override told-BucketName/{build.source}" in line
        assert f"name=IMAGE_TAG,value={build.tag}" in line
        assert "--project-name told-BuildProject" in line
    assert max(order(asked, *started)) < order(asked, "--template-file main.json")[0]


def test_images_are_built_by_docker_where_there_is_one(tmp_path: Path) -> None:
    made = shell(tmp_path, "gateway")
    code, errors, asked = made.run("deploy.sh", NO_DOCKER="0")
    assert code == 0, errors
    (build,) = emitted("gateway").builds
    assert not [line for line in asked if "codebuild" in line]
    login, built, pushed = order(asked, "docker login", "docker build", "docker push")
    assert login < built < pushed
    assert asked[pushed] == f"docker push told-RepositoryUri:{build.tag}"
    code, errors, asked = made.run("deploy.sh", NO_DOCKER="0", CODEBUILD="1")
    assert code == 0, errors
    assert [line for line in asked if "codebuild start-build" in line]


def test_an_image_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    code, errors, asked = shell(tmp_path, "gateway").run("deploy.sh", MISSING="0")
    assert code == 0, errors
    assert not [line for line in asked if "codebuild" in line or "docker" in line]


def test_a_build_that_fails_ends_it_before_the_main_stack(tmp_path: Path) -> None:
    code, errors, asked = shell(tmp_path, "gateway").run("deploy.sh", BUILT="FAILED")
    assert code == 1
    assert "was not built: FAILED" in errors
    assert "build-1" in errors
    assert not [line for line in asked if "main.json" in line]


def test_an_existing_domain_is_asked_first_and_for_both_stacks(tmp_path: Path) -> None:
    code, errors, asked = shell(tmp_path, "gateway-domain").run("deploy.sh")
    assert code == 0, errors
    domain, base = order(asked, "sagemaker describe-domain", "--template-file base.json")
    assert domain < base


def test_a_domain_without_security_groups_is_told_before_anything_is_made(tmp_path: Path) -> None:
    folder = shell(tmp_path, "realtime-domain")
    code, told, asked = folder.run("deploy.sh", GROUPS_OF="None")
    assert code != 0
    assert "no security group" in told
    assert not any("cloudformation deploy" in line for line in asked)


def test_arguments_go_on_to_the_cli(tmp_path: Path) -> None:
    _, _, asked = shell(tmp_path, "gateway").run("deploy.sh", "--no-execute-changeset")
    deploys = [line for line in asked if "cloudformation deploy" in line]
    assert len(deploys) == 2
    assert all(line.endswith("--no-execute-changeset") for line in deploys)


def test_it_is_deleted_from_the_front_to_the_base(tmp_path: Path) -> None:
    code, errors, asked = shell(tmp_path, "gateway-managed").run("destroy.sh")
    assert code == 0, errors
    main, emptied, base = order(
        asked,
        "delete-stack --stack-name penstock-support-bot",
        "s3 rm",
        "delete-stack --stack-name penstock-support-bot-base",
    )
    assert main < emptied < base


def test_a_role_for_workflows_is_made_of_policies_that_fit(tmp_path: Path) -> None:
    """The full front's policy is longer than one managed policy may be."""
    folder = shell(tmp_path, "gateway-managed")
    code, told, asked = folder.run("role.sh", "me/bot")
    assert code == 0, told
    policies = sorted((tmp_path / "rendered" / "iam").glob("deployer-*.json"))
    assert len(policies) > 1
    assert all(len("".join(each.read_text().split())) <= MOST_CHARACTERS for each in policies)
    made = [line for line in asked if "iam create-policy " in line]
    joined = [line for line in asked if "iam attach-role-policy" in line]
    assert len(made) == len(joined) == len(policies)
    trust = "\n".join(asked)
    assert "repo:me/bot:environment:production" in trust
    provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    assert f'"Federated": "{provider}"' in trust
    assert any("create-open-id-connect-provider" in line for line in asked)


def test_a_role_that_is_there_is_renewed(tmp_path: Path) -> None:
    code, told, asked = shell(tmp_path, "realtime").run("role.sh", "me/bot", KNOWN="0")
    assert code == 0, told
    order(asked, "update-assume-role-policy", "delete-policy-version", "create-policy-version")
    assert not any("iam create-" in line and "version" not in line for line in asked)


def test_a_role_needs_to_know_whose_workflows_take_it(tmp_path: Path) -> None:
    code, told, asked = shell(tmp_path, "realtime").run("role.sh")
    assert code != 0
    assert "OWNER/REPOSITORY" in told
    assert asked == []


def test_a_base_stack_that_was_never_finished_is_deleted(tmp_path: Path) -> None:
    """It has no outputs, and so no bucket that could be emptied."""
    code, told, asked = shell(tmp_path, "realtime").run("destroy.sh", UNFINISHED="1")
    assert code == 0, told
    assert "delete-stack --stack-name penstock-support-bot-base" in "\n".join(asked)
    assert not any("s3 rm" in line for line in asked)
