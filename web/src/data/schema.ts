/** What a task's examples look like. */
import { Refused } from '../refused';

export interface Schema {
  /** Of one example, channels first. */
  readonly inputShape: readonly number[];
  readonly classes: number;
}

/** The schema of a task's data: what its spec says of `own` data, else what the catalogue says of the data set.
 *  `data`: `spec.data` as the server tells it; `card`: the resource `potluck://datasets/{data.id}`. */
export function schemaOf(
  data: { readonly id: string; readonly input_shape?: readonly number[] | null; readonly num_classes?: number | null },
  card?: { readonly input_shape: readonly number[]; readonly class_names: readonly string[] },
): Schema {
  const inputShape = data.input_shape ?? card?.input_shape;
  const classes = data.num_classes ?? card?.class_names.length;
  if (inputShape === undefined || classes === undefined) {
    throw new Refused('bad_data', `Nothing says what examples of ${data.id} look like.`, 'choose another task');
  }
  return { inputShape, classes };
}
