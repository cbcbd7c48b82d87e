"""How likely a prompt's own tokens are. Owns their scores; computes no logits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from remora.engine.base import TokenScore
from remora.engine.torch.scheduling.scheduler import Chunk

ROWS_AT_ONCE = 32  # of a large vocabulary these are megabytes, and a whole chunk would be hundreds


def take_scores(chunks: Sequence[Chunk], logits: torch.Tensor) -> torch.Tensor:
    """Keep the scores of the prompts that are scored; the logits of the other rows, to choose tokens from.

    `logits` are those of what the chunks want, in order.
    """
    if not any(chunk.scored for chunk in chunks):
        return logits
    last_rows, row = list[int](), 0
    for chunk in chunks:
        count = len(chunk.scored)
        if count:
            chunk.sequence.scores.extend(_scores(chunk, logits[row : row + count]))
        row += count
        if chunk.completes:
            choosing = 1 + len(chunk.draft)
            last_rows.extend(range(row, row + choosing))
            row += choosing
    return logits[last_rows]


def _scores(chunk: Chunk, logits: torch.Tensor) -> Iterator[TokenScore]:
    first = chunk.scored.start + 1
    following = chunk.sequence.tokens[first : first + len(logits)]
    most = min(chunk.sequence.request.sampling.prompt_logprobs or 0, logits.shape[-1])
    ids = torch.tensor(following, device=logits.device)
    for rows, chosen in zip(torch.split(logits, ROWS_AT_ONCE), torch.split(ids, ROWS_AT_ONCE), strict=True):
        logprobs = rows.float().log_softmax(-1)
        own = logprobs.gather(-1, chosen[:, None])
        ranks = (logprobs > own).sum(-1) + 1
        top = logprobs.topk(most, dim=-1)
        for token_id, logprob, rank, likeliest, values in zip(
            chosen.tolist(),
            own[:, 0].tolist(),
            ranks.tolist(),
            top.indices.tolist(),
            top.values.tolist(),
            strict=True,
        ):
            pairs = zip(likeliest, values, strict=True)
            yield TokenScore(token_id, logprob, rank, tuple(pair for pair in pairs if pair[1] > -math.inf))
