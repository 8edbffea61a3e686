from reconciler.kinds.placement.memory_flags import memory_flags, placing_flags


def test_all_spellings_of_a_flag_are_one() -> None:
    assert memory_flags({"ctk": "q8_0", "-nkvo": True, "no_kv_unified": True, "temp": 1}) == {
        "cache-type-k": "q8_0",
        "kv-offload": False,
        "kv-unified": False,
    }


def test_a_switch_that_is_turned_off_counts_the_other_way() -> None:
    assert memory_flags({"no-kv-offload": False, "swa-full": False}) == {
        "kv-offload": True,
        "swa-full": False,
    }


def test_flags_that_place_are_found() -> None:
    assert placing_flags({"ngl": 3, "override_tensor": "x=CPU", "threads": 4}) == ("ngl", "override_tensor")
