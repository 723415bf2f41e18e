"""A character-level LSTM learns a nursery rhyme and recites it.

The text is cut into sequences; the state of one batch is the start of the next.
"""

import argparse
import io

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR

TEXT = """the farmer in the dell, the farmer in the dell,
heigh-ho, the derry-o, the farmer in the dell.
the farmer takes a wife, the farmer takes a wife,
heigh-ho, the derry-o, the farmer takes a wife.
the wife takes a child, the wife takes a child,
heigh-ho, the derry-o, the wife takes a child.
the child takes a nurse, the child takes a nurse,
heigh-ho, the derry-o, the child takes a nurse.
the nurse takes a dog, the nurse takes a dog,
heigh-ho, the derry-o, the nurse takes a dog.
"""


class CharLSTM(nn.Module):
    def __init__(self, vocabulary, embedding_dim=24, hidden_dim=64, num_layers=2, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding_dim)
        options = {"dropout": dropout, "batch_first": True}
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers, **options)
        self.drop = nn.Dropout(dropout)
        self.decoder = nn.Linear(hidden_dim, vocabulary)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x, hidden=None):
        output, hidden = self.lstm(self.drop(self.embedding(x)), hidden)
        decoded = self.decoder(self.drop(output))
        return decoded.view(-1, decoded.size(-1)), hidden

    def init_hidden(self, batch_size):
        weight = next(self.parameters())
        shape = (self.lstm.num_layers, batch_size, self.lstm.hidden_size)
        return weight.new_zeros(shape), weight.new_zeros(shape)


def batchify(data, batch_size):
    """One row per sequence of the batch."""
    n = data.size(0) // batch_size
    return data[: n * batch_size].view(batch_size, n)


def sample(model, start, stoi, itos, length, device, temperature=0.5):
    model.eval()
    hidden = model.init_hidden(1)
    x = torch.tensor([[stoi[c] for c in start]], dtype=torch.long, device=device)
    text = start
    with torch.no_grad():
        for _ in range(length):
            logits, hidden = model(x, hidden)
            nxt = torch.multinomial(F.softmax(logits[-1] / temperature, dim=-1), 1).item()
            text += itos[nxt]
            x = torch.full((1, 1), nxt, dtype=torch.long, device=device)
    return text


def main():
    parser = argparse.ArgumentParser(description="character-level LSTM")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--bptt", type=int, default=20)
    parser.add_argument("--clip", type=float, default=0.5)
    parser.add_argument("--dropout", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    chars = sorted(set(TEXT))
    stoi = {c: i for i, c in enumerate(chars)}
    data = torch.tensor([stoi[c] for c in TEXT], dtype=torch.long)
    train_data = batchify(data, 4).to(device)

    model = CharLSTM(len(chars), dropout=args.dropout).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    scheduler = StepLR(optimizer, step_size=10, gamma=0.7)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        model.train()
        hidden, total = model.init_hidden(train_data.size(0)), 0.0
        starts = range(0, train_data.size(1) - 1, args.bptt)
        for i in starts:
            seq = min(args.bptt, train_data.size(1) - 1 - i)
            x, y = train_data[:, i : i + seq], train_data[:, i + 1 : i + 1 + seq].reshape(-1)
            optimizer.zero_grad()
            hidden = tuple(h.detach() for h in hidden)
            output, hidden = model(x, hidden)
            loss = criterion(output, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            total += loss.item()
        scheduler.step()
        print(
            f"epoch {epoch:3d} lr {scheduler.get_last_lr()[0]:.4f} loss {total / len(starts):.4f}"
        )

    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    best = CharLSTM(len(chars)).to(device)
    best.load_state_dict(torch.load(buffer, map_location=device))
    print(sample(best, "the ", stoi, chars, 80, device))


if __name__ == "__main__":
    main()
