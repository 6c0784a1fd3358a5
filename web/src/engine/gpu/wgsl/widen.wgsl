// A gradient without a border, laid into one that has it.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = id.x + id.y * groups.x * 64;
  let pixel = at / $IN;
  let image = pixel / ($HEIGHT * $WIDTH);
  if (image >= step.n) { return; }
  let q = (image * $YH + pixel / $WIDTH % $HEIGHT + $YO) * $YW + pixel % $WIDTH + $YO;
  y[q * $IN + at % $IN] = x[at];
}
