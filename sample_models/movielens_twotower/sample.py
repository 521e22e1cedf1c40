"""Which movie somebody watches next: a tower for the person and one for the movie, and the product of what they give."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PEOPLE, MOVIES, GENRES = 610, 9742, 19
SEEN, NAMED = 20, 6


def mean_row(table: nn.Embedding, ids: Tensor) -> Tensor:
    """Return the mean of a table's rows, (N, width), over ids (N, k) that are not 0."""
    there = (ids != 0).unsqueeze(-1).to(table.weight.dtype)
    return (table(ids) * there).sum(1) / there.sum(1).clamp_min(1)  # type: ignore[no-any-return]


class TwoTower(nn.Module):
    """Two towers (Covington et al., 2016; Yi et al., 2019).

    The person's has a row for each person and the mean of the movies rated before, the movie's a row for each movie, the mean of its genres
    and its year.
    """

    def __init__(
        self, *, width: int = 64, history: int = 32, genre: int = 16, hidden: int = 128, out: int = 64, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.people, self.movies = nn.Embedding(PEOPLE, width), nn.Embedding(MOVIES + 1, width)
        self.rated, self.genres = nn.Embedding(MOVIES + 1, history), nn.Embedding(GENRES + 1, genre)
        self.dropout = nn.Dropout(dropout)
        self.person_1, self.person_2 = nn.Linear(width + history, hidden), nn.Linear(hidden, out)
        self.movie_1, self.movie_2 = nn.Linear(width + genre + 1, hidden), nn.Linear(hidden, out)
        self.bias = nn.Parameter(torch.zeros(1))
        for table in (self.people, self.movies, self.rated, self.genres):
            nn.init.normal_(table.weight, 0, 0.05)

    def forward(self, user: Tensor, history: Tensor, item: Tensor, genres: Tensor, year: Tensor) -> Tensor:
        """Return the logit that this is the movie, (N,)."""
        person = self.dropout(torch.cat([self.people(user), mean_row(self.rated, history)], 1))
        movie = self.dropout(torch.cat([self.movies(item), mean_row(self.genres, genres), year], 1))
        person = self.person_2(torch.relu(self.person_1(person)))
        movie = self.movie_2(torch.relu(self.movie_1(movie)))
        return (person * movie).sum(1) + self.bias  # type: ignore[no-any-return]


def model() -> TwoTower:
    """Return the untrained model."""
    return TwoTower()


def example() -> dict[str, Tensor]:
    """Return the inputs of eight candidates, of which every second has seen and named half as much."""
    source = torch.Generator().manual_seed(0)
    history, genres = torch.randint(1, MOVIES + 1, (8, SEEN), generator=source), torch.randint(1, GENRES + 1, (8, NAMED), generator=source)
    history[1::2, SEEN // 2 :], genres[1::2, NAMED // 2 :] = 0, 0
    user, item = torch.randint(PEOPLE, (8,), generator=source), torch.randint(1, MOVIES + 1, (8,), generator=source)
    return {"user": user, "history": history, "item": item, "genres": genres, "year": torch.randn(8, 1, generator=source)}


vars(model).update(task="recommendation", data="movielens", example=example)
