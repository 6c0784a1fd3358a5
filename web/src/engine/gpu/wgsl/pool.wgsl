// The maximum over 2 × 2, or BACK: the gradient to the first of the largest, nothing to the others. One invocation a
// window and four channels. An odd last row or column has no window: its gradient stays at nought.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
//#if BACK
@group(0) @binding(2) var<storage, read> d: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> g: array<vec4f>;
//#else
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var at = id.x + id.y * groups.x * 64;
  let c = at % $IN;
  at /= $IN;
  let px = at % $WIDTH;
  at /= $WIDTH;
  let py = at % $HEIGHT;
  let image = at / $HEIGHT;
  if (image >= step.n) { return; }
  let p = ((image * $XH + 2 * py + $XO) * $XW + 2 * px + $XO) * $IN + c;
  let a = x[p];
  let b = x[p + $IN];
  let e = x[p + $XW * $IN];
  let f = x[p + ($XW + 1) * $IN];
  let most = max(max(a, b), max(e, f));
  let q = ((image * $YH + py + $YO) * $YW + px + $YO) * $IN + c;
  //#if BACK
  //#if MASK
  let v = select(vec4f(), d[q], most > vec4f());
  //#else
  let v = d[q];
  //#end
  let isA = a == most;
  let isB = (b == most) & !isA;
  let isE = (e == most) & !(isA | isB);
  let r = ((image * $GH + 2 * py + $GO) * $GW + 2 * px + $GO) * $IN + c;
  g[r] = select(vec4f(), v, isA);
  g[r + $IN] = select(vec4f(), v, isB);
  g[r + $GW * $IN] = select(vec4f(), v, isE);
  g[r + ($GW + 1) * $IN] = select(vec4f(), v, !(isA | isB | isE));
  //#else
  y[q] = most;
  //#end
}
