// The gradient of a convolution's weights and bias (a linear layer is one of 1 × 1 over a row of examples): one
// invocation sums, over its share of the images, a row of K taps × TI × TO vectors of four channels.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> d: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> g: array<mat4x4f>;

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  //#if ROWS
  let width = step.n;
  let images = 1u;
  //#else
  let width = u32($WIDTH);
  let images = step.n;
  //#end
  var at = id.x + id.y * groups.x * $WG;
  let o = at % $OT * $TO;
  at /= $OT;
  let i = at % $IT * $TI;
  at /= $IT;
  let ky = at % $K;
  let part = at / $K;
  if (part >= $PARTS) { return; }
  let share = (images + $PARTS - 1) / $PARTS;
  //#for t TO
  var b$t = vec4f();
  //#for e TI
  //#for kx K
  //#for c 4
  var g$kx_$e_$c_$t = vec4f();
  //#end
  //#end
  //#end
  //#end
  for (var image = part * share; image < min(images, (part + 1u) * share); image++) {
    for (var py = 0u; py < $HEIGHT; py++) {
      var p = (image * $XH + py + ky) * $XW * $IN + i;
      var q = ((image * $DH + py + $DO) * $DW + $DO) * $OUT + o;
      //#for e TI
      //#for kx EDGE
      var h$kx_$e = x[p + $kx * $IN + $e];
      //#end
      //#end
      p += $EDGE * $IN;
      for (var px = 0u; px < width; px += $U) {
        //#for u U
        //#for t TO
        let d$u_$t = d[q + $u * $OUT + $t];
        b$t += d$u_$t;
        //#end
        //#end
        //#for e TI
        //#for kx EDGE
        let x$kx_$e = h$kx_$e;
        //#end
        //#for u U
        let x$(EDGE+u)_$e = x[p + $u * $IN + $e];
        //#end
        //#for kx EDGE
        h$kx_$e = x$(kx+U)_$e;
        //#end
        //#for t TO
        //#for kx K
        //#for c 4
        g$kx_$e_$c_$t =
          //#for u U
          x$(kx+u)_$e[$c] * d$u_$t +
          //#end
          g$kx_$e_$c_$t;
        //#end
        //#end
        //#end
        //#end
        p += $U * $IN;
        q += $U * $OUT;
      }
    }
  }
  let out = part * $LENGTH;
  //#for t TO
  if (o + $t < $OUT) {
    //#for e TI
    if (i + $e < $IN) {
      //#for kx K
      g[out + ((ky * $K + $kx) * $IN + i + $e) * $OUT + o + $t] =
        mat4x4f(g$kx_$e_0_$t, g$kx_$e_1_$t, g$kx_$e_2_$t, g$kx_$e_3_$t);
      //#end
    }
    //#end
    if (i + ky == 0u) { g[out + $K * $K * $IN * $OUT + (o + $t) / 4][(o + $t) % 4] = b$t; }
  }
  //#end
}
