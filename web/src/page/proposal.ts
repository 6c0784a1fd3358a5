/** What the form of a rehearsal asks the worker for. */
import type { Rehearsal, Source, TaskCard } from '../messages';

/** Steps that suit each model, at batches of 16. */
const RATES: Readonly<Record<string, number>> = { logistic: 0.2, mlp: 0.1, mcmahan_2nn: 0.1, mnist_cnn: 0.05 };

type Form = Pick<Rehearsal, 'nodes' | 'alpha' | 'rounds' | 'epochs' | 'model'>;

/** `form.model`: empty for the chosen task's, trained in the task's way. Data of one's own is like the task's. */
export function proposal(form: Form, task: TaskCard | null, source: Source): Rehearsal {
  const recipe = form.model === '' ? task?.recipe : undefined;
  const model = form.model || (recipe && task?.model) || 'mlp';
  const { inputShape, classes } = source.kind === 'digits' || task === null ? {} : task;
  return {
    options: {},
    batchSize: 16,
    learningRate: RATES[model] ?? 0.05,
    ...recipe,
    ...form,
    model,
    seed: 0,
    source,
    ...(inputShape && { inputShape }),
    ...(classes !== undefined && { classes }),
  };
}
