"""Actor and critic learn to balance a pole on a cart; the cart is a few lines of NumPy."""

import argparse
from collections import deque, namedtuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical

SavedAction = namedtuple("SavedAction", ["log_prob", "value"])


class CartPole:
    """A pole of half length 0.5 m on a cart that is pushed left (0) or right (1), 50 times a
    second; an episode ends when the pole leans by 12 degrees or the cart has left its track.
    """

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        self.state = np.zeros(4)

    def reset(self):
        self.state = self.random.uniform(-0.05, 0.05, 4)
        return self.state.astype(np.float32)

    def step(self, action):
        _, v, angle, w = self.state
        force = 10.0 if action == 1 else -10.0
        sin, cos = np.sin(angle), np.cos(angle)
        push = (force + 0.05 * w**2 * sin) / 1.1
        turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        speedup = push - 0.05 * turn * cos / 1.1
        rates = np.array([v, speedup, w, turn])
        self.state = self.state + 0.02 * rates
        done = bool(abs(self.state[0]) > 2.4 or abs(self.state[2]) > 12 * np.pi / 180)
        return self.state.astype(np.float32), 1.0, done


class Policy(nn.Module):
    """One body, two heads: what to do, and how good the state is."""

    def __init__(self, hidden=64):
        super().__init__()
        self.affine1 = nn.Linear(4, hidden)
        self.action_head = nn.Linear(hidden, 2)
        self.value_head = nn.Linear(hidden, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        action_prob = F.softmax(self.action_head(x), dim=-1)
        state_values = self.value_head(x)
        return action_prob, state_values


def select_action(model, state):
    state = torch.from_numpy(state).float()
    probs, state_value = model(state)
    m = Categorical(probs)
    action = m.sample()
    model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
    return action.item()


def finish_episode(model, optimizer, gamma=0.99):
    R, returns = 0.0, deque()
    for r in model.rewards[::-1]:
        R = r + gamma * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    eps = np.finfo(np.float32).eps.item()
    returns = (returns - returns.mean()) / (returns.std() + eps)
    policy_losses, value_losses = [], []
    for (log_prob, value), R in zip(model.saved_actions, returns, strict=True):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    del model.rewards[:]
    del model.saved_actions[:]
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description="actor-critic")
    parser.add_argument("--episodes", type=int, default=150)
    parser.add_argument("--seed", type=int, default=543)
    args = parser.parse_args()
    env = CartPole(args.seed)
    torch.manual_seed(args.seed)
    model = Policy()
    optimizer = optim.Adam(model.parameters(), lr=2e-2)
    running_reward = 10.0
    for episode in range(1, args.episodes + 1):
        state, ep_reward = env.reset(), 0.0
        for _ in range(200):
            state, reward, done = env.step(select_action(model, state))
            model.rewards.append(reward)
            ep_reward += reward
            if done:
                break
        running_reward = 0.05 * ep_reward + 0.95 * running_reward
        loss = finish_episode(model, optimizer)
        if episode % max(1, args.episodes // 15) == 0:
            print(f"episode {episode} reward {ep_reward:.0f} loss {loss:.4f}")
    print(f"average reward {running_reward:.2f}")


if __name__ == "__main__":
    main()
