/** What a task's examples look like. */
export interface Schema {
  /** Of one example, channels first. */
  readonly inputShape: readonly number[];
  readonly classes: number;
}
