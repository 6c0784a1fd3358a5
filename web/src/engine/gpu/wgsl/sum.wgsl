// A gradient that was summed in PARTS shares of the batch, added up.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64 + step.n * 0;
  if (i >= $LENGTH) { return; }
  var v = x[i];
  for (var part = 1u; part < $PARTS; part++) { v += x[i + part * $LENGTH]; }
  y[i] = v;
}
