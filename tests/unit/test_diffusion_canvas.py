"""DiffusionGemma and its decoder against transformers' own class, sampler and generate().

Run: ``python -m pytest tests/unit/test_diffusion_canvas.py``
"""

from __future__ import annotations

import pytest
import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig, Gemma4VisionConfig
from transformers.models.diffusion_gemma import generation_diffusion_gemma as reference

from backend import CapabilityError, RequestError, RunRequest, branch, from_json, load_model, replay, run, run_many, same_run, to_json
from backend.canvas import steps_of
from backend.decoders.diffusion_canvas import accept
from backend.noise import ORDER, TOKENS, KeyedNoise

VOCABULARY, CANVAS, WINDOW, EOS = 96, 8, 6, 94
PROMPT = (5, 17, 3, 40, 41, 8, 60, 22, 9)
SETTINGS = {"block_length": CANVAS, "max_denoising_steps": 6, "entropy_bound": 1.0, "confidence_threshold": 3.0}


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A random model of transformers' own class, whose layers with a window see less than the prompt."""
    torch.manual_seed(3)
    text = DiffusionGemmaTextConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, global_head_dim=16, num_global_key_value_heads=1, max_position_embeddings=128,
        sliding_window=WINDOW, layer_types=["sliding_attention", "sliding_attention", "full_attention"], num_experts=4,
        top_k_experts=2, moe_intermediate_size=16, eos_token_id=EOS, pad_token_id=93, bos_token_id=2)
    vision = Gemma4VisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                                num_key_value_heads=2, head_dim=8)
    model = DiffusionGemmaForBlockDiffusion(DiffusionGemmaConfig(
        text_config=text, vision_config=vision, canvas_length=CANVAS, boi_token_id=90, eoi_token_id=91, image_token_id=92)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.15)
    model.folder = tmp_path_factory.mktemp("diffusion_gemma")
    model.save_pretrained(model.folder)
    return model


@pytest.fixture(scope="module")
def model(stock):
    """The same weights, opened by folder."""
    return load_model(stock.folder)


def ids_of(length: int = 21) -> torch.Tensor:
    """Return two rows of token ids."""
    return torch.randint(3, 89, (2, length), generator=torch.Generator().manual_seed(2))


# -- the network --------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("length", (9, 12, 21, 30))
def test_the_canvas_gets_the_logits_of_the_stock_class(stock, model, length):
    ids, prefix = ids_of(length), length - CANVAS
    got = model.logits(ids)
    want = stock(input_ids=ids[:, :prefix], decoder_input_ids=ids[:, prefix:]).logits
    assert (model.kind, model.eos_id, model.mask_id) == ("uniform_diffusion", EOS, None)
    torch.testing.assert_close(got[:, prefix:], want, atol=1e-5, rtol=0)
    encoder = stock.model.encoder(input_ids=ids[:, :prefix]).last_hidden_state
    before = torch.tanh(stock.lm_head(encoder) / 30) * 30
    torch.testing.assert_close(got[:, 1:prefix], before[:, :-1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_conditioned_pass_over_a_cached_prefix_is_that_of_the_stock_class(stock, model):
    ids = ids_of()
    signal = torch.randn(2, CANVAS, VOCABULARY, generator=torch.Generator().manual_seed(5)) * 3
    nothing = torch.zeros(2, 21, dtype=torch.bool)
    cache = model.forward(ids, compute=torch.arange(7), project=nothing, keep_cache=True).cache
    cache = model.forward(ids, compute=torch.arange(7, 13), project=nothing, cache=cache, keep_cache=True).cache
    got = model.forward(ids, compute=torch.arange(13, 21), cache=cache, conditioning=signal).logits
    want = stock(input_ids=ids[:, :13], decoder_input_ids=ids[:, 13:], self_conditioning_logits=signal).logits
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_is_that_of_the_stock_class(stock, model):
    ids, padding = ids_of(), torch.ones(2, 21, dtype=torch.long)
    padding[0, :4] = 0
    want = stock(input_ids=ids[:, :13], attention_mask=padding[:, :13], decoder_input_ids=ids[:, 13:],
                 decoder_attention_mask=padding).logits
    torch.testing.assert_close(model.logits(ids, padding)[:, 13:], want, atol=1e-5, rtol=0)


@torch.no_grad()
def test_half_precision_runs_in_its_type(stock, model):
    half = load_model(stock.folder, dtype="bfloat16")
    got, want = half.logits(ids_of()), model.logits(ids_of())
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert float((got - want).abs().mean()) < 0.1 * float(want.std())


def test_what_the_family_does_not_offer_is_refused_by_name(model):
    ids = ids_of()
    with pytest.raises(CapabilityError, match="neither attention"):
        model.forward(ids, attentions=True)
    with pytest.raises(CapabilityError, match="not embeddings"):
        model.forward(inputs_embeds=model.embed(ids))
    with pytest.raises(CapabilityError, match="no pairwise"):
        model.logits(ids, torch.ones(2, 21, 21, dtype=torch.bool))
    with pytest.raises(RequestError, match="bidirectional"):
        run(model, RunRequest("llada", prompt_ids=PROMPT, length=8))


# -- the decoder --------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", (0.05, 1.0, 6.0))
def test_the_accepted_places_are_those_of_the_reference(bound):
    logits = torch.randn(1, 40, 30, generator=torch.Generator().manual_seed(1)) * 4
    sampler = reference.EntropyBoundSampler(reference.EntropyBoundSamplerConfig(bound), 40, 30, 1)
    sampler.accept_canvas(torch.zeros(1, 40, dtype=torch.long), torch.ones(1, 40, dtype=torch.long), logits, 1)
    entropies = torch.distributions.Categorical(logits=logits[0]).entropy()
    got = accept(entropies, torch.ones(40, dtype=torch.bool), bound)
    assert got.equal(sampler.accepted_token_mask[0])


class KeyedDraws:
    """Gives the reference the draws that our noise gives at the same places."""

    def __init__(self, seed: int, prompt: int, monkeypatch) -> None:
        self._noise, self._begin, self._steps, self._inside = KeyedNoise(seed), prompt - CANVAS, 0, False
        self.drafts: list[tuple[int, ...]] = []
        monkeypatch.setattr(torch, "multinomial", self.multinomial)
        monkeypatch.setattr(reference.EntropyBoundSampler, "initialize_canvas", lambda _, batch_size, device: self.canvas())

    def multinomial(self, probs, num_samples):
        self._steps, self._inside = self._steps + 1, True
        running = probs.double().cumsum(-1)
        shares = [self._noise.uniform(TOKENS, self._steps, self._begin + at, 1)[0] for at in range(CANVAS)]
        shares = torch.tensor(shares)[:, None] * running[:, -1:]
        return torch.searchsorted(running, shares, right=True).clamp_max(VOCABULARY - 1)

    def canvas(self):
        if not self._inside:
            self._begin += CANVAS
        self._inside = False
        draws = [self._noise.uniform(ORDER, self._steps, self._begin + at, 1)[0] for at in range(CANVAS)]
        return (torch.tensor(draws) * VOCABULARY).long()[None]

    def put(self, value):
        """The streaming hook for settled tokens."""

    def put_draft(self, value):
        self.drafts.append(tuple(value[0].tolist()))

    def end(self):
        """The streaming hook for the end."""


@pytest.mark.parametrize("seed", range(6))
def test_a_run_is_that_of_generate_with_the_same_draws(stock, model, seed, monkeypatch):
    events = list(run(model, RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=3 * CANVAS, settings=SETTINGS, seed=seed)))
    assert events[-1].reason == "done", events[-1].message
    draws = KeyedDraws(seed, len(PROMPT), monkeypatch)
    found = stock.generate(
        torch.tensor([PROMPT]), streamer=draws, max_new_tokens=3 * CANVAS, max_denoising_steps=6, stability_threshold=1,
        sampler_config=reference.EntropyBoundSamplerConfig(1.0), confidence_threshold=3.0, t_min=0.4, t_max=0.8,
        eos_token_id=EOS, pad_token_id=93)
    answer = tuple(found.sequences[0, len(PROMPT):].tolist())
    steps = steps_of(events)
    assert len(steps) == len(draws.drafts)
    got = replay(events, len(steps))[len(PROMPT):]
    cut = (got.index(EOS) if EOS in got else len(answer)) + 1
    assert got[:cut] == answer[:cut]
    for number, step in enumerate(steps, 1):
        if step.notes["why"].startswith("Canvas"):
            begin = len(PROMPT) + CANVAS * step.notes["canvas"]
            assert replay(events, number)[begin : begin + CANVAS] == draws.drafts[number - 1]


def test_the_same_seed_gives_the_same_events_and_another_seed_others(model):
    def events(seed):
        return list(run(model, RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=CANVAS, settings=SETTINGS, seed=seed)))

    assert same_run(events(1), events(1))
    assert replay(events(1), 1) != replay(events(2), 1)
    assert all(from_json(to_json(event)) == event for event in events(1))


def test_the_canvas_shows_accepted_tokens_and_opens_what_became_noise_again(model):
    request = RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=CANVAS,
                         settings=SETTINGS | {"confidence_threshold": 0.0, "entropy_bound": 4.0}, seed=3)
    events = list(run(model, request))
    steps = steps_of(events)
    assert any(step.erases for step in steps)
    for number, step in enumerate(steps[:-1], 1):
        shown = replay(events, number)[len(PROMPT):]
        assert sum(token != -1 for token in shown) == step.notes["accepted"]
        assert all(0.0 <= probability <= 1.0 for _, _, probability in step.writes)
        assert len(step.scores["confidence"]) == len(step.masked)
    assert -1 not in replay(events, len(steps))
    temperatures = [step.notes["temperature"] for step in steps]
    assert temperatures[0] == pytest.approx(0.8) and temperatures == sorted(temperatures, reverse=True)


def test_a_forbidden_token_is_not_drawn(model):
    events = tuple(run(model, RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=CANVAS, settings=SETTINGS, seed=3)))
    position, token, _ = steps_of(events)[0].writes[0]
    changed = tuple(branch(model, events, 1, [("forbid", position, token)]))
    assert all((position, token) not in [(at, id_) for at, id_, _ in step.writes] for step in steps_of(changed))


def test_a_length_becomes_whole_canvases_and_fixed_tokens_stay(model):
    events = list(run(model, RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=5, settings=SETTINGS, fixed={2: 33})))
    assert len(events[0].canvas) == len(PROMPT) + CANVAS
    for number in range(len(steps_of(events)) + 1):
        assert replay(events, number)[len(PROMPT) + 2] == 33


def test_runs_that_share_passes_decide_like_runs_on_their_own(model):
    # Each pass reads the logits of the one before, so the rounding of a larger batch grows from step to step.
    requests = [RunRequest("diffusion_canvas", prompt_ids=PROMPT, length=2 * CANVAS, settings=SETTINGS, seed=seed)
                for seed in range(3)]
    shared = {number: [] for number in range(3)}
    for number, event in run_many(model, requests):
        shared[number].append(event)
    for number, request in enumerate(requests):
        alone = list(run(model, request))
        assert len(shared[number]) == len(alone)
        for one, other in zip(steps_of(shared[number]), steps_of(alone), strict=True):
            assert replay(shared[number], one.index) == replay(alone, other.index)
            assert one.scores.get("entropy", ()) == pytest.approx(other.scores.get("entropy", ()), abs=1e-3)


def test_an_empty_prompt_and_a_rising_temperature_are_refused_together(model):
    with pytest.raises(RequestError) as caught:
        run(model, RunRequest("diffusion_canvas", prompt_ids=(), length=8, settings={"t_min": 0.9}))
    assert {problem.field for problem in caught.value.problems} == {"prompt", "settings.t_min"}
