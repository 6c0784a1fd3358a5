/** What a person needs in order to choose a task: what it asks for, and why this tab cannot take part, if it cannot. */
import type { EngineReport } from '../engine/types';
import type { RoundReport, TaskCard } from '../messages';
import { CODECS, METHODS } from './capabilities';
import type { Parts } from './parts';
import type { TaskSpec, TaskSummary, TaskView } from './protocol';
import { troubleOf } from './teller';
import { inWords } from './words';

type Known = Pick<Parts, 'models' | 'chainOf' | 'layoutOf'>;

/** Why a node of this kind cannot take part in a task; empty where it can. `spec`: null as long as it is not known. */
export function obstaclesOf(
  task: Pick<TaskSummary, 'state' | 'simulated'> & { readonly model: unknown },
  spec: TaskSpec | null,
  models: readonly string[],
): string[] {
  const model = spec?.model.id ?? String(task.model);
  const rule = spec?.aggregation.rule;
  const known = models.includes(model);
  const found: [boolean, string][] = [
    [task.state === 'finished' || task.state === 'cancelled', `The task is ${task.state}.`],
    [task.simulated, 'The server simulates this task: no nodes take part.'],
    [!known, `This page cannot train the model ${model}; a Python node can.`],
    [
      known && rule !== undefined && !METHODS.includes(rule),
      `This page does not keep what the method ${rule} needs from round to round; a Python node does.`,
    ],
    [spec !== null && !CODECS.includes(spec.codec), `This page does not know the compression ${spec?.codec}.`],
  ];
  return found.filter(([holds]) => holds).map(([, why]) => why);
}

/** More classes than this have no names: nobody chooses among them. */
const NAMED = 1000;

/** `obstacle`: why this caller may not train at all, whatever the task; `view`, `engine`: null as long as they are not
 *  known; `names`: of the classes, where the server has any. */
export function cardOf(
  task: TaskSummary,
  view: TaskView | null,
  known: Known,
  obstacle: string | null,
  engine: EngineReport | null = null,
  names: readonly string[] = [],
): TaskCard {
  const spec = view?.spec ?? null;
  const obstacles = obstaclesOf(task, spec, known.models);
  let parameters: number | null = null;
  try {
    parameters = view !== null && known.models.includes(task.model) ? parametersOf(view, known) : null;
  } catch (error) {
    obstacles.push(troubleOf(error).problem); // a model that this page cannot build
  }
  if (view === null && obstacles.length === 0) {
    obstacles.push('What it asks for has not been read yet.');
  }
  const { maxBufferSize = Infinity, maxStorageBufferBindingSize: binding = Infinity } = engine?.limits ?? {};
  const most = Math.min(maxBufferSize, binding);
  // The engine keeps all weights in one buffer; gradients and each of the optimiser's states in others of that size.
  if (parameters !== null && 4 * parameters > most) {
    const room = `this graphics device holds ${inWords(most)} in one piece`;
    obstacles.push(`The model's weights take ${inWords(4 * parameters)}, and ${room}; a Python node can train it.`);
  }
  return {
    taskId: task.task_id,
    name: task.name,
    state: task.state,
    model: task.model,
    data: task.data,
    round: task.round,
    numRounds: task.num_rounds,
    ...(view && { classes: view.num_classes, recipe: recipeOf(view.spec) }),
    accuracy: task.accuracy ?? null,
    loss: task.loss ?? null,
    obstacles: obstacle === null ? obstacles : [obstacle, ...obstacles],
    requirements: view === null ? [] : requirementsOf(view, parameters),
    ...(view && { inputShape: view.input_shape }),
    ...(view && view.num_classes <= NAMED && { classNames: namesOf(view.num_classes, spec?.data.pin?.class_names ?? names) }),
    ...(parameters !== null && { parameters }),
  };
}

const namesOf = (classes: number, names: readonly string[]): readonly string[] =>
  names.length === classes ? names : Array.from({ length: classes }, (_, label) => String(label));

export function roundsOf(view: TaskView): RoundReport[] {
  return view.rounds.map(({ round, accuracy, loss, node_accuracy, node_loss, seconds, submitted }) => ({
    round,
    accuracy: accuracy ?? node_accuracy,
    loss: loss ?? node_loss,
    seconds,
    updates: submitted,
  }));
}

function recipeOf({ model, training }: TaskSpec): NonNullable<TaskCard['recipe']> {
  const { batch_size: batchSize, learning_rate: learningRate, weight_decay: weightDecay, optimizer, momentum } = training;
  return { options: model.options, batchSize, learningRate, optimizer, momentum, weightDecay };
}

function parametersOf(view: TaskView, known: Known): number {
  const { id, options } = view.spec.model;
  const shapes = [...known.layoutOf(known.chainOf(id, options, view.input_shape, view.num_classes)).values()];
  return shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/** Bytes that training holds for each weight: the weight, what was received, its gradient, the optimiser's state. */
function memoryOf(spec: TaskSpec, modelBytes: number): number {
  const { optimizer, momentum } = spec.training;
  const states = optimizer === 'adam' ? 2 : momentum ? 1 : 0;
  return modelBytes * (3 + states);
}

function requirementsOf(view: TaskView, parameters: number | null): string[] {
  const { spec, model } = view;
  const { epochs, batch_size: batch, max_steps: most } = spec.training;
  const passes = epochs === 1 ? 'one pass' : `${epochs} passes`;
  const limit = most === null ? '' : `, at most ${most} steps`;
  const data = spec.data.id === 'own' ? 'examples of your own' : `examples like ${spec.data.id}`;
  return [
    `Data: ${data}, of shape ${view.input_shape.join(' × ')}, in ${view.num_classes} classes.`,
    `Model: ${spec.model.id}${parameters === null ? '' : `, ${parameters.toLocaleString('en')} weights`}.`,
    `A round: ${passes} over your examples in batches of ${batch}${limit}, within ${view.spec.deadline_s} s.`,
    `Network: ${inWords(model.size)} down and up a round.`,
    `Memory: ${inWords(memoryOf(spec, model.size))} for the model in training, and your examples.`,
  ];
}
