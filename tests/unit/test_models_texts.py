"""Texts of a loaded model: special ids, tokenizers, chat templates.

Run: ``python -m pytest tests/unit/test_models_texts.py``
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from backend import ModelError, load_model
from tests.unit.conftest import rewrite


def word_tokenizer(folder: Path, words: list[str], special: list[str]) -> None:
    """Write a tokenizer.json that knows these words."""
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_special_ids_come_from_arguments_then_config_then_the_tokenizer(folder):
    word_tokenizer(folder, ["a", "b"], ["<mask>", "<end>", "<|im_end|>"])
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<end>"}, "mask_token": "<mask>"}))
    rewrite(folder, mask_token_id=None, eos_token_id=None, pad_token_id=7)
    model = load_model(folder)
    assert (model.mask_id, model.eos_id, model.pad_id) == (3, 4, 7)
    assert model.stop_ids == {4, 5}
    rewrite(folder, eos_token_id=[9, 10])
    model = load_model(folder, pad_id=8)
    assert (model.mask_id, model.eos_id, model.pad_id) == (3, 9, 8)
    assert model.stop_ids == {9, 10, 5}
    assert load_model(folder, eos_id=2).stop_ids == {2, 5}


@pytest.mark.parametrize("listed", (False, True))
def test_a_chat_template_is_applied_on_request_and_its_marks_are_tokens(folder, listed):
    word_tokenizer(folder, ["hello", "assistant", "user"], ["<|im_start|>", "<|im_end|>"])
    source = ("{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|> {% endfor %}"
              "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}")
    template = [{"name": "tools", "template": "no"}, {"name": "default", "template": source}] if listed else source
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    model = load_model(folder)
    assert model.has_chat_template
    turn = model.as_turn("hello")
    assert turn == "<|im_start|> user hello <|im_end|> <|im_start|> assistant "
    assert [model.token(at).strip() for at in model.encode(turn)] == turn.split()
    assert model.encode("hello") == (1,)


def test_a_chat_template_file_wins_and_a_model_without_one_leaves_text_alone(folder):
    assert not load_model(folder).has_chat_template
    assert load_model(folder).as_turn("hello") == "hello"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old {{ messages[0].content }}"}))
    (folder / "chat_template.jinja").write_text("{{ bos_token }} new {{ messages[0].content }}")
    with pytest.raises(ModelError, match="chat template failed|undefined"):
        (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
        load_model(folder).as_turn("hello")
    (folder / "chat_template.jinja").write_text("new {{ messages[0].content }}")
    assert load_model(folder).as_turn("hello") == "new hello"


@pytest.mark.parametrize("attack", (
    "{{ messages.__class__.__mro__[-1].__subclasses__() }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{% for i in range(999999999) %}x{% endfor %}",
    "{{ self.__init__.__globals__ }}",
    "{{ messages.append(1) }}",
    "{% include '/etc/passwd' %}",
))
def test_a_hostile_chat_template_reaches_nothing(folder, attack):
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": attack}))
    model = load_model(folder)
    try:
        rendered = model.as_turn("hello")
    except ModelError as error:
        assert "Switch the chat template off" in error.remedy
    else:
        assert "object at" not in rendered and "class" not in rendered and "root:" not in rendered


def test_a_tokenizer_of_vocabulary_and_merges_is_read_by_the_rules_of_its_class(folder):
    letters = ["h", "e", "l", "o", "Ġ", "1", "2"]
    merges = ["h e", "l l", "he ll", "hell o"]
    vocabulary = {token: at for at, token in enumerate([*letters, *("".join(pair.split()) for pair in merges)])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "DreamTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "added_tokens_decoder": {"20": {"content": "<|mask|>", "special": True}}, "mask_token": "<|mask|>"}))
    model = load_model(folder)
    ids = model.encode("hello 12")
    assert [model.token(at) for at in ids] == ["hello", " ", "1", "2"]
    assert model.decode(ids) == "hello 12"
    assert model.token(model.encode("<|mask|>")[0]) == "<|mask|>"


def test_a_prompt_begins_as_the_tokenizer_begins_every_text_and_only_once(folder):
    word_tokenizer(folder, ["hello"], ["<bos>", "<sep>"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <sep>", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>")), ("<sep>", tokenizer.token_to_id("<sep>"))])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert load_model(folder).encode("hello") == (1,), "nobody said that <bos> begins a sequence"
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<bos>"}))
    model = load_model(folder)
    assert model.encode("hello") == model.encode("<bos> hello") == (2, 1)


def test_a_chat_template_that_is_no_text_is_named(folder):
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{{ no text }}")
    with pytest.raises(ModelError, match="chat_template.jinja cannot be read as text.*Copy the file again"):
        load_model(folder)
