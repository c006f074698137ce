import pytest

from penstock.cli import output
from penstock.cli.output import ExitCode, exit_code
from penstock.ground import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PenstockError("x"), ExitCode.FAILED),
        (errors.ToolError("x"), ExitCode.FAILED),
        (errors.LimitExceeded("x", retry_after_s=1), ExitCode.FAILED),
        (errors.UserError("x"), ExitCode.USAGE),
        (errors.ManifestError("x"), ExitCode.USAGE),
        (errors.NotAllowed("x"), ExitCode.USAGE),
        (errors.MachineError("x"), ExitCode.MACHINE),
        (errors.EngineDied("x"), ExitCode.ENGINE),
        (errors.EngineRefused("x", status=500), ExitCode.ENGINE),
        (ValueError("x"), ExitCode.BUG),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_the_table_of_exit_codes_is_whole() -> None:
    for code in ExitCode:
        assert f"| {code.value} " in str(output.__doc__)
        assert f"`{code.name}`" in str(output.__doc__)


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_text("[red]not markup[/red] " + "long " * 50)
    output.note("[bold]x[/bold] :smile:")
    out, err = capsys.readouterr()
    assert out == "[red]not markup[/red] " + "long " * 50 + "\n"
    assert err == "[bold]x[/bold] :smile:\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"city": "Zürich", "text": "a\nb"})
    assert capsys.readouterr().out == '{"city": "Zürich", "text": "a\\nb"}\n'
