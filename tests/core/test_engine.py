import pytest

from reconciler.core.engine import read_help, read_version

HELP = """\
----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-kvo,  --kv-offload, -nkvo, --no-kv-offload
                                        whether to enable KV cache offloading (default: enabled)
-ot,   --override-tensor <tensor name pattern>=<buffer type>,...
                                        override tensor buffer type
-lm,   --load-mode MODE                 model loading mode (default: auto)
                                        - none: no special loading mode
                                        -- mmap: memory-map model


----- speculative params -----

--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max or
                                        --spec-ngram-mod-n-max
                                        (env: LLAMA_ARG_DRAFT_MAX)
--spec-default                          enable default speculative decoding config
"""


def test_help_gives_every_spelling_and_whether_it_takes_a_value() -> None:
    flags, _ = read_help(HELP)
    assert {name: flag.value for name, flag in flags.items()} == {
        "-h": None,
        "--help": None,
        "--usage": None,
        "-c": "N",
        "--ctx-size": "N",
        "-kvo": None,
        "--kv-offload": None,
        "-nkvo": None,
        "--no-kv-offload": None,
        "-ot": "<tensor name pattern>=<buffer type>,...",
        "--override-tensor": "<tensor name pattern>=<buffer type>,...",
        "-lm": "MODE",
        "--load-mode": "MODE",
        "--spec-default": None,
    }
    assert flags["-c"] is flags["--ctx-size"]


def test_a_removed_flag_is_no_flag_but_says_what_to_use() -> None:
    _, removed = read_help(HELP)
    words = "the argument has been removed. use --spec-draft-n-max or --spec-ngram-mod-n-max"
    assert removed == {"--draft": words, "--draft-n": words, "--draft-max": words}


@pytest.mark.parametrize("text", ["", "usage: tar [OPTION...]\n\n  -c, --create\n", "\0\x01" * 50])
def test_the_help_of_other_programs_gives_no_llama_flags(text: str) -> None:
    flags, removed = read_help(text)
    assert "--model" not in flags
    assert not removed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("version: 6123 (79c1160b)\nbuilt with cc for x86_64-linux-gnu\n", ("6123 (79c1160b)", 6123)),
        (
            "version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU 12.2.0",
            ("0.6.0-dev (build 0, commit unknown)", None),
        ),
        (
            "ggml_cuda_init: found 1 devices\nversion: 0.6.0 (build 11434, commit abc)",
            ("0.6.0 (build 11434, commit abc)", 11434),
        ),
        ("tar (GNU tar) 1.34\n", None),
        ("", None),
    ],
)
def test_the_build_is_read_from_every_known_form(text: str, found: tuple[str, int | None] | None) -> None:
    assert read_version(text) == found
