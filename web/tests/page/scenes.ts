/** Every state in which the page can be, as the reports that a worker would give after each command. */
import type { EngineReport } from '../../src/engine/types';
import type { Command, NodeStatus, Report, StepReport, TaskCard, Trouble } from '../../src/messages';

export type Scene = { readonly [C in Command['type']]?: readonly Report[] };

const webgpu: EngineReport = {
  kind: 'webgpu',
  reason: 'the adapter is a graphics processor',
  adapter: { vendor: 'apple', architecture: 'metal-3', description: 'a laptop’s own' },
  limits: { maxBufferSize: 4294967296, maxStorageBufferBindingSize: 1073741824, maxComputeWorkgroupStorageSize: 32768 },
  kernels: [
    { shape: '32 × 784 × 128', variant: 'registers 4 × 4', gflops: 212.4 },
    { shape: '784 × 32 × 128', variant: 'tile 64 × 64', gflops: 341.9 },
  ],
  matmulGflops: 402.7,
};

const cpu: EngineReport = {
  kind: 'cpu',
  reason: 'This browser has no WebGPU adapter: `navigator.gpu.requestAdapter()` gave none.',
  adapter: {},
  limits: {},
  kernels: [{ shape: '32 × 64 × 32', variant: 'rows', gflops: 1.2 }],
  matmulGflops: 1.4,
};

const digits: TaskCard = {
  taskId: 'digits-mlp-7f2c',
  name: 'Digits for everyone',
  state: 'running',
  model: 'mlp',
  data: 'digits',
  round: 3,
  numRounds: 10,
  accuracy: 0.8917,
  loss: 0.412,
  obstacles: [],
  requirements: ['19.2 kB down and up a round', 'about 2 MB of memory'],
  inputShape: [1, 8, 8],
  classNames: [...'0123456789'],
  classes: 10,
  recipe: { options: {}, batchSize: 32, learningRate: 0.05, optimizer: 'sgd', momentum: 0, weightDecay: 0 },
  parameters: 4810,
};

const mnist: TaskCard = {
  ...digits,
  taskId: 'mnist-cnn-91aa',
  name: 'MNIST by convolution',
  model: 'mnist_cnn',
  data: 'mnist',
  round: 0,
  accuracy: null,
  loss: null,
  state: 'created',
  requirements: ['1.7 MB down and up a round', 'about 60 MB of memory', 'images of 28 × 28 pixels'],
  inputShape: [1, 28, 28],
  parameters: 421642,
};

const others: readonly TaskCard[] = [
  {
    ...mnist,
    taskId: 'text-3d',
    name: 'A language model with adapters',
    model: 'tiny_gpt',
    data: 'shakespeare',
    requirements: ['12 MB down a round'],
    obstacles: ['The model tiny_gpt cannot be trained in a tab: a Python node can.', 'The task’s codec is int8, and a tab speaks none.'],
  },
  { ...digits, taskId: 'old-1', name: 'Last week’s digits', state: 'finished', round: 10, accuracy: 0.956, loss: 0.16, obstacles: ['The task is over.'] },
];

const ready: Report = { type: 'ready', engine: webgpu, server: 'Kitchen table' };
const tasks: Report = { type: 'tasks', tasks: [digits, mnist, ...others] };
const examined: Report = { type: 'examined', examples: 1437, perClass: [142, 145, 141, 146, 144, 145, 144, 143, 139, 148] };
const storage: Report = {
  type: 'storage',
  storage: { usedBytes: 23_400_000, quotaBytes: 10_800_000_000, persistent: false, files: [{ name: 'model', bytes: 1_700_000 }, { name: 'latest', bytes: 21_700_000 }] },
};
const opened: readonly Report[] = [ready, tasks, storage];

const status = (change: Partial<NodeStatus>): Report => ({
  type: 'status',
  status: {
    phase: 'idle',
    text: 'Not taking part.',
    nodeId: 'node-4xkq2',
    taskId: digits.taskId,
    round: 3,
    numRounds: 10,
    deadlineAt: Date.now() + 754_000,
    examples: 1150,
    heldOut: 287,
    roundsGiven: 2,
    bytesUp: 38_900,
    bytesDown: 58_300,
    lastUpdate: 'Round 2 was accepted: 19.4 kB, norm 0.83, sha256 5d41402abc4b2a76b9719d911017c592ae1f0e6d7e9b2a7b90d04f8b3f0c9a11.',
    ...change,
  },
});

const steps: readonly Report[] = Array.from({ length: 120 }, (_, at): Report => {
  const wobble = 0.12 * Math.sin(at * 1.7) * Math.exp(-at / 80);
  const step: StepReport = {
    round: 3,
    step: 1 + at * 2,
    totalSteps: 288,
    epoch: Math.floor(at / 36),
    loss: 0.18 + 2.05 * Math.exp(-at / 34) + wobble,
    accuracy: Math.min(1, Math.max(0.08, 0.95 - 0.84 * Math.exp(-at / 26) + wobble / 2)),
    examplesPerS: 5200 + 900 * Math.sin(at / 9) - (at < 4 ? 4100 : 0),
    memoryBytes: 2_400_000 + 18_000 * at,
  };
  return { type: 'step', step };
});

const rounds = (last: number): Report => ({
  type: 'rounds',
  taskId: digits.taskId,
  rounds: Array.from({ length: last }, (_, at) => ({
    round: at + 1,
    accuracy: 0.955 - 0.52 * Math.exp(-at / 1.9),
    loss: 0.15 + 1.5 * Math.exp(-at / 1.6),
    seconds: 41,
    updates: 4,
  })),
});

const training = [status({ phase: 'training', text: 'Training round 3 of 10: epoch 4 of 4.' }), rounds(2), ...steps];
const log: readonly Report[] = [
  { type: 'log', text: 'The model of round 3 is here: 19.2 kB, its hash is right.' },
  { type: 'log', text: 'A checkpoint is kept every 20 steps.' },
];

const trouble = (code: string, problem: string, mend: string): Report => {
  const words: Trouble = { code, problem, mend };
  return { type: 'trouble', trouble: words };
};

const usual: Scene = { open: opened, refresh: [tasks], examine: [examined], clear_storage: [storage] };

const shares = [
  [92, 0, 3, 41, 0, 12, 0, 77, 0, 1],
  [0, 88, 0, 0, 64, 0, 31, 0, 22, 0],
  [14, 3, 101, 0, 0, 55, 0, 9, 40, 2],
  [1, 40, 0, 72, 30, 0, 90, 0, 0, 61],
  [22, 0, 30, 5, 44, 70, 2, 33, 60, 12],
  [13, 14, 7, 28, 6, 8, 21, 24, 17, 72],
];

export const scenes: Readonly<Record<string, Scene>> = {
  loading: {},
  idle: usual,
  empty: { open: [ready, { type: 'tasks', tasks: [] }] },
  'no-server': { open: [trouble('no_server', 'The server at this address does not answer.', 'wait: the page asks again by itself, ever more slowly. Is the server running?')] },
  cpu: { ...usual, open: [{ type: 'ready', engine: cpu, server: 'Kitchen table' }, tasks, storage] },
  unauthorized: { open: [ready, trouble('unauthorized', 'The server demands a token and none was sent.', 'ask the operator for an invitation and paste it below.')] },
  training: {
    ...usual,
    train: [...training, ...log],
    pause: [status({ phase: 'paused', text: 'Paused after step 239. The round’s deadline does not wait.' })],
    resume: training,
    leave: [status({ phase: 'left', text: 'Left the federation. What was accepted stays with the server.' })],
  },
  waiting: { ...usual, train: [status({ phase: 'waiting', text: 'Waiting for two more nodes before round 3 can begin.', deadlineAt: null }), rounds(2)] },
  unanswered: {
    open: [ready, trouble('no_server', 'No answer from the server.', 'check that it runs.'), status({ phase: 'training', text: 'Going on where it was.' })],
  },
  classes: { ...usual, examine: [{ type: 'examined', examples: 200_000, perClass: Array.from({ length: 200_000 }, () => 1) }] },
  first: { ...usual, train: [status({ phase: 'training', text: 'Training round 1 of 10.' }), { type: 'rounds', taskId: digits.taskId, rounds: [{ round: 1, accuracy: null, loss: null, seconds: null, updates: 0 }] }, ...steps] },
  finished: {
    ...usual,
    train: [
      ...steps,
      rounds(10),
      status({ phase: 'finished', text: 'All 10 rounds are done: the model is right for 95.3 % of the test examples.', round: 10, roundsGiven: 8, bytesUp: 155_600, deadlineAt: null }),
    ],
  },
  refused: {
    ...usual,
    train: [...training, trouble('bad_update', 'Tensor delta/fc1.weight has a norm of 93.1 and the task allows 10.', 'lower the learning rate, or ask the operator to raise privacy.max_norm.')],
  },
  away: {
    ...usual,
    train: [...training, status({ phase: 'away', text: 'The server has not answered for 12 s; asking again in 8 s. Nothing is lost.' }), trouble('no_server', 'The server does not answer.', 'nothing: the tab tries again by itself and brings its update then.')],
  },
  elsewhere: { ...usual, open: [...opened, status({ phase: 'elsewhere', text: 'A browser profile takes part once, and another of its tabs does already.', deadlineAt: null, roundsGiven: 0, bytesUp: 0, lastUpdate: '' })] },
  quota: { ...usual, train: [...training, trouble('quota', 'The browser gives this page 12 MB and the checkpoint needs 21.7 MB.', 'clear the storage below, or free space on this device. Training goes on without checkpoints.')] },
  'device-lost': { ...usual, train: [...training, trouble('device_lost', 'The graphics driver was reset.', 'nothing: training goes on from the last checkpoint on a new device.')] },
  'bad-data': { ...usual, examine: [trouble('bad_data', 'train.csv, row 17 has 63 values and the task wants 64.', 'complete or remove the row.')] },
  rehearsing: {
    ...usual,
    rehearse: [
      { type: 'shares', perClass: shares },
      ...Array.from({ length: 8 }, (_, at): Report => ({
        type: 'rehearsed',
        round: { round: at + 1, accuracy: 0.93 - 0.6 * Math.exp(-at / 2), loss: 0.24 + 1.7 * Math.exp(-at / 2), seconds: 0.4, updates: 6 },
        nodes: shares.map((share, node) => ({ loss: 0.1 + 0.05 * node, examples: share.reduce((a, b) => a + b) })),
      })),
    ],
    end_rehearsal: [{ type: 'rehearsal_over', reason: 'stopped after 8 of 10 rounds' }],
  },
};
