// What every kernel of a step reads: how many examples the batch has, and what changes from step to step.
struct Step { n: u32, slot: u32, rate: f32, root: f32, index: array<u32> }
@group(0) @binding(0) var<storage, read> step: Step;
