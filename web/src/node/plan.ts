/** What a task spec asks of a node's training. */
import type { Plan } from './parts';
import type { TaskSpec } from './protocol';

export function planOf(spec: TaskSpec, examples: number): Plan {
  const { training } = spec;
  return {
    optimizer: training.optimizer,
    learningRate: training.learning_rate,
    momentum: training.momentum,
    weightDecay: training.weight_decay,
    proximal: proximalOf(spec),
    batchSize: Math.min(training.batch_size, examples),
    epochs: training.epochs,
    maxSteps: training.max_steps,
  };
}

/** μ of the proximal term that the method asks of nodes; 0 where it asks for none. */
export function proximalOf({ aggregation: { rule, options } }: Pick<TaskSpec, 'aggregation'>): number {
  const preset: Readonly<Record<string, number>> = { fedprox: 0.01, fednova: 0 };
  const mu = preset[rule];
  return mu === undefined ? 0 : (options.mu ?? mu);
}

/** JSON in one order of members, whatever order they came in. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
