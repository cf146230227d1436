"""Every command of every README, as written: its tool, its options and its config."""

from functools import cache

import pytest
from helpers.paths import ROOT
from helpers.readme_commands import READMES, blocks, commands, write_files
from helpers.tools_in_process import load_tool

from cmac_mm.apis.evaluate import Options, evaluation_kind
from cmac_mm.utils import load_config

# Not ours, or of the reader's own.
ELSEWHERE = ("gtad_train.py", "/my/project/my_config.py")
BLOCKS = [
    pytest.param(readme, block, id=f"{readme}-{number}")
    for readme in READMES
    for number, block in enumerate(blocks(readme), start=1)
]


def tool_calls(calls):
    """Tools of ours with their arguments: what a shell script starts in place of the script."""
    for program, *arguments in calls:
        if program.endswith("dist_train.sh"):
            config, gpus, *rest = arguments
            assert gpus.isdigit(), gpus
            yield "tools/train.py", [config, *rest]
        elif program.endswith("dist_test.sh"):
            config, checkpoint, gpus, *rest = arguments
            assert gpus.isdigit(), gpus
            yield "tools/test.py", [config, checkpoint, *rest]
        elif program.endswith("slurm_train.sh"):
            yield "tools/train.py", arguments[2:]
        elif program == "python" and arguments[0].endswith(".py"):
            # In a wheel the tools are in a folder of the package.
            yield arguments[0].removeprefix("written-by-python/.mim/"), arguments[1:]


@cache
def evaluation_of(config, cfg_options):
    """Refuses a config or options that tools/evaluate.py would refuse."""
    options = Options(config, None, cfg_options=cfg_options)
    options.load_config()
    return evaluation_kind(options)


@pytest.mark.parametrize(("readme", "block"), BLOCKS)
def test_commands(readme, block, tmp_path, monkeypatch):
    write_files(readme, tmp_path)
    calls = commands(block, tmp_path)
    assert calls, "no program of this block is known"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # where configs that a page gives import its modules
    for name in ("configs", "data"):
        if (ROOT / name).is_dir():
            (tmp_path / name).symlink_to(ROOT / name)
    loaded = set()
    for tool, arguments in tool_calls(calls):
        if tool in ELSEWHERE:
            continue
        if (tmp_path / tool).is_file():  # one that the README gives
            continue
        assert (ROOT / tool).is_file(), f"there is no {tool}"
        if arguments == ["--help"]:
            continue
        monkeypatch.setattr("sys.argv", [tool, *arguments])
        args = load_tool(ROOT / tool).parse_args()
        assert not any(value.isupper() for value in arguments if value.isalpha()), arguments
        config = getattr(args, "config", None)
        if config is None or config in ELSEWHERE:
            continue
        if tool == "tools/evaluate.py":
            evaluation_of(config, tuple(args.cfg_options))
        else:
            options = getattr(args, "cfg_options", None)
            key = f"{config} {options}"  # the same for each seed
            if key not in loaded:
                load_config(config, options)
            loaded.add(key)
