// A convolution of K × K taps (a linear layer is one of 1 × 1 over a row of examples), forward, or BACK to its input.
// One invocation keeps TX neighbouring pixels × TO vectors of four channels in registers; there is no barrier.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<mat4x4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
//#if MASK
@group(0) @binding(4) var<storage, read> mask: array<vec4f>;
//#end

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  //#if ROWS
  let width = step.n;
  let images = 1u;
  //#else
  let width = u32($WIDTH);
  let images = step.n;
  //#end
  let tiles = (width + $TX - 1u) / $TX;
  var at = id.x + id.y * groups.x * $WG;
  let o = at % $OT * $TO;
  at /= $OT;
  let px = at % tiles * $TX;
  at /= tiles;
  let py = at % $HEIGHT;
  let image = at / $HEIGHT;
  if (image >= images) { return; }
  //#for t TO
  //#if BACK
  let b$t = vec4f();
  //#else
  let b$t = w[$K * $K * $IN * $OUT + (o + $t) / 4][(o + $t) % 4];
  //#end
  //#for j TX
  var y$j_$t = b$t;
  //#end
  //#end
  for (var ky = 0u; ky < $K; ky++) {
    for (var i = 0u; i < $IN; i++) {
      let p = ((image * $XH + py + ky) * $XW + px) * $IN + i;
      //#for j SPAN
      let x$j = x[p + $j * $IN];
      //#end
      //#for kx K
      //#for t TO
      {
        //#if BACK
        let m = w[((($K - 1 - ky) * $K + $K - 1 - $kx) * $OUT + o + $t) * $IN + i];
        //#else
        let m = w[((ky * $K + $kx) * $IN + i) * $OUT + o + $t];
        //#end
        //#for j TX
        //#if BACK
        y$j_$t += x$(j+kx) * m;
        //#else
        y$j_$t += m * x$(j+kx);
        //#end
        //#end
      }
      //#end
      //#end
    }
  }
  let q = ((image * $YH + py + $YO) * $YW + px + $YO) * $OUT + o;
  //#if MASK
  let s = ((image * $MH + py + $MO) * $MW + px + $MO) * $OUT + o;
  //#end
  //#for j TX
  if (px + $j < width) {
    //#for t TO
    if (o + $t < $OUT) {
      //#if RELU
      y$j_$t = max(y$j_$t, vec4f());
      //#end
      //#if MASK
      y$j_$t = select(vec4f(), y$j_$t, mask[s + $j * $OUT + $t] > vec4f());
      //#end
      y[q + $j * $OUT + $t] = y$j_$t;
    }
    //#end
  }
  //#end
}
