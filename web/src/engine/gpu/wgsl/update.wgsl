// One step of the optimiser on every parameter: FedProx's pull, weight decay (L2), then SGD with momentum, or Adam with
// its bias corrections in `step.rate` (η / (1 - β₁ᵗ)) and `step.root` (1 / √(1 - β₂ᵗ)).
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> w: array<vec4f>;
//#if START
@group(0) @binding(3) var<storage, read> start: array<vec4f>;
//#end
//#if FIRST
@group(0) @binding(4) var<storage, read_write> first: array<vec4f>;
//#end
//#if ADAM
@group(0) @binding(5) var<storage, read_write> second: array<vec4f>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64;
  if (i >= arrayLength(&w)) { return; }
  let old = w[i];
  var v = g[i];
  //#if START
  v += f32($PROXIMAL) * (old - start[i]);
  //#end
  //#if DECAY
  v += f32($DECAY) * old;
  //#end
  //#if ADAM
  let m = first[i] + 0.1 * (v - first[i]);
  let s = 0.999 * second[i] + 0.001 * v * v;
  first[i] = m;
  second[i] = s;
  v = m / (sqrt(s) * step.root + 1e-8);
  //#else
  //#if FIRST
  v += f32($FIRST) * first[i];
  first[i] = v;
  //#end
  //#end
  w[i] = old - step.rate * v;
}
