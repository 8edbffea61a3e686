from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.engine import Engine, read_help
from reconciler.core.errors import EngineError
from reconciler.kinds.unit.flags import FlagValue, LoraFile, RuntimeSettings, compile_flags

HELP = """\
-m,    --model FNAME                    model
-a,    --alias STRING                   alias
--host HOST                             host
--port PORT                             port
-c,    --ctx-size N                     context
-np,   --parallel N                     slots
-b,    --batch-size N                   batch
-ub,   --ubatch-size N                  physical batch
-t,    --threads N                      threads
-kvu,  --kv-unified, -no-kvu, --no-kv-unified
                                        one KV cache
-ngl,  --gpu-layers, --n-gpu-layers N   layers
-ts,   --tensor-split N0,N1,N2,...      split
-mm,   --mmproj FILE                    projector
--lora FNAME                            adapter
--lora-scaled FNAME:SCALE,...           adapter
--spec-draft-model, -md, --model-draft FNAME
                                        draft
--spec-draft-n-max N                    tokens to draft
--embedding, --embeddings               embeddings
--api-key-file FNAME                    keys
--slot-save-path PATH                   slots
--metrics                               metrics
-fit,  --fit [on|off]                   fit
-cram, --cache-ram N                    prompts in RAM
--ui,  --webui, --no-ui, --no-webui     web page
--offline                               offline
-fa,   --flash-attn [on|off|auto]       flash
-ctk,  --cache-type-k TYPE              K
--warmup, --no-warmup                   warm up
--no-host                               no host buffer
--swa-full                              full window
--reverse-prompt PROMPT                 stop
--load-mode MODE                        load mode
-hf,   --hf-repo REPO                   download
--draft, --draft-max N                  the argument has been removed. use --spec-draft-n-max
--spec-ngram-size-n N                   the argument has been removed. use --spec-ngram-mod-n-match
"""
FLAGS, REMOVED = read_help(HELP)
ENGINE = Engine(
    kind="server",
    command=("/usr/bin/llama-server",),
    socket_command=("/usr/bin/launcher", "--exec", "/usr/bin/llama-server"),
    version="6123 (79c1160b)",
    build=6123,
    flags=FLAGS,
    removed=REMOVED,
)
BASE = RuntimeSettings(
    model="/store/m.gguf",
    endpoint=TcpEndpoint("127.0.0.1", 8601),
    aliases=("one", "two"),
    context_tokens=4096,
)
ALWAYS = "--metrics --fit off --cache-ram 512 --no-webui --offline"


def compiled(engine: Engine = ENGINE, **changes: Any) -> str:
    return " ".join(compile_flags(replace(BASE, **changes), engine))


def test_the_order_is_fixed() -> None:
    assert compiled() == (
        "--model /store/m.gguf --alias one,two --host 127.0.0.1 --port 8601 --parallel 1 --ctx-size 4096 "
        + ALWAYS
    )


def test_a_socket_has_no_port() -> None:
    flags = compiled(endpoint=SocketEndpoint("/run/m.sock"))
    assert "--host /run/m.sock" in flags
    assert "--port" not in flags


def test_every_request_gets_the_whole_context() -> None:
    assert "--parallel 4 --ctx-size 16384" in compiled(parallel=4)


@pytest.mark.parametrize("flags", [{"kv-unified": True}, {"kvu": True}, {"no-kv-unified": False}])
def test_slots_that_share_one_cache_share_the_context(flags: dict[str, FlagValue]) -> None:
    assert "--ctx-size 4096" in compiled(parallel=4, flags=flags)


def test_without_a_context_slots_share_the_models_own() -> None:
    assert "--parallel 4 --kv-unified --metrics" in compiled(parallel=4, context_tokens=None)
    assert "--kv-unified" not in compiled(context_tokens=None)


def test_files_and_placement_take_their_places() -> None:
    flags = compiled(
        placement=("-ngl", "all", "-ts", "20,9"),
        mmproj="/store/p.gguf",
        loras=(LoraFile("/store/a.gguf"), LoraFile("/store/b,c.gguf")),
        draft="/store/d.gguf",
        api_key_file="/store/keys",
        slot_save_path="/store/slots",
        threads=2,
    )
    assert flags == (
        "--model /store/m.gguf --alias one,two --host 127.0.0.1 --port 8601 --parallel 1 --ctx-size 4096 "
        '-ngl all -ts 20,9 --lora /store/a.gguf,"/store/b,c.gguf" '
        "--mmproj /store/p.gguf --model-draft /store/d.gguf "
        "--api-key-file /store/keys --slot-save-path /store/slots "
        "--metrics --threads 2 --fit off --cache-ram 512 --no-webui --offline"
    )


def test_adapters_with_a_factor_are_scaled() -> None:
    flags = compiled(loras=(LoraFile("/a.gguf"), LoraFile("/b.gguf", 0.5)))
    assert "--lora-scaled /a.gguf:1,/b.gguf:0.5" in flags


def test_an_input_to_embed_fits_into_one_batch() -> None:
    assert "--embedding --batch-size 4096 --ubatch-size 4096" in compiled(embedding=True)
    assert "--batch-size" not in compiled(embedding=True, context_tokens=512)
    assert "--ubatch-size 4096" not in compiled(embedding=True, flags={"ubatch-size": 1024})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"flash-attn": "auto"}, "--flash-attn auto"),
        ({"flash_attn": True}, "--flash-attn on"),
        ({"fa": False}, "-fa off"),
        ({"--cache-type-k": "q8_0"}, "--cache-type-k q8_0"),
        ({"swa-full": True}, "--swa-full"),
        ({"swa-full": False}, ""),
        ({"warmup": True}, "--warmup"),
        ({"warmup": False}, "--no-warmup"),
        ({"no-warmup": True}, "--no-warmup"),
        ({"no-warmup": False}, "--warmup"),
        ({"no-host": True}, "--no-host"),
        ({"no-host": False}, ""),
        ({"reverse-prompt": ["a", "b,c"]}, '--reverse-prompt a,"b,c"'),
        ({"reverse-prompt": "-5"}, "--reverse-prompt -5"),
    ],
)
def test_the_specs_own_flags_come_last(flags: dict[str, FlagValue], words: str) -> None:
    assert compiled(flags=flags) == f"{compiled()} {words}".rstrip()


def test_the_specs_own_flags_do_not_depend_on_their_order() -> None:
    assert compiled(flags={"swa-full": True, "batch-size": 64}) == compiled(
        flags={"batch-size": 64, "swa-full": True}
    )


@pytest.mark.parametrize(
    ("flags", "gone", "there"),
    [
        ({"cache-ram": 0}, "--cache-ram 512", "--cache-ram 0"),
        ({"cram": -1}, "--cache-ram 512", "-cram -1"),
        ({"webui": True}, "--no-webui", "--webui"),
        ({"fit": True}, "--fit off", "--fit on"),
        ({"threads": 3}, "--threads 1", "--threads 3"),
    ],
)
def test_what_we_only_prefer_the_spec_may_change(flags: dict[str, FlagValue], gone: str, there: str) -> None:
    found = compiled(flags=flags, threads=1)
    assert gone not in found
    assert found.endswith(there)


def test_an_old_build_is_not_given_what_it_does_not_need() -> None:
    known = {name: flag for name, flag in FLAGS.items() if name not in {"--fit", "--cache-ram", "--offline"}}
    assert compiled(replace(ENGINE, flags=known)).endswith("--metrics --no-webui")


def refused(**changes: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        compiled(**changes)
    return caught.value


@pytest.mark.parametrize(
    ("flags", "what", "hint"),
    [
        (
            {"flash-atn": "on"},
            "llama-server b6123 does not know the flag --flash-atn",
            "did you mean `flash-attn`?",
        ),
        ({"zzzzqqqq": 1}, "does not know the flag --zzzzqqqq", "see /usr/bin/llama-server --help"),
        ({"mmap": False}, "does not know the flag --mmap", "it was replaced, write `load-mode: mmap`"),
        ({"mlock": True}, "does not know the flag --mlock", "it was replaced, write `load-mode: mlock`"),
        ({"draft-max": 8}, "does not know the flag --draft-max", "it was replaced, write `spec-draft-n-max`"),
        (
            {"spec-ngram-size-n": 8},
            "does not know the flag --spec-ngram-size-n",
            "it says: the argument has been removed. use --spec-ngram-mod-n-match",
        ),
        ({"swa-full": "yes"}, "the flag --swa-full takes no value, not 'yes'", "write true or false"),
        ({"ctk": True}, "the flag -ctk needs a value: TYPE", "write the value, not a boolean"),
        ({"fa": "on", "flash-attn": "on"}, "the flags -fa and --flash-attn are one", "keep one of them"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_before_anything_starts(
    flags: dict[str, FlagValue], what: str, hint: str
) -> None:
    error = refused(flags=flags)
    assert what in error.what
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "model",
            "m",
            "--model",
            "alias",
            "host",
            "port",
            "c",
            "ctx_size",
            "np",
            "mm",
            "lora",
            "lora-scaled",
        ),
        *("md", "spec-draft-model", "embeddings", "metrics", "api-key", "api-key-file"),
        *("hf", "hf-repo", "models-dir"),
    ],
)
def test_what_a_setting_stands_for_is_not_given_as_a_flag(name: str) -> None:
    error = refused(flags={name: "x"})
    assert f"`{name}`" in error.what
    assert error.hint == "remove it"


def test_placement_and_the_specs_flags_do_not_fight() -> None:
    error = refused(placement=("-ngl", "all"), flags={"gpu-layers": 3})
    assert "--gpu-layers is already given as -ngl all" in error.what


def test_a_placement_that_the_build_cannot_read_is_refused() -> None:
    assert "does not know the flag -ncmoe" in refused(placement=("-ncmoe", "3")).what
