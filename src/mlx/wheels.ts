/** The PyPI wheels that the native part is made of: pinned by version and sha256, fetched by name when building. */
export interface Wheel {
  name: string;
  version: string;
  /** pip's `--platform`: named always, so that the Python that runs pip does not matter. */
  platform: string;
  sha256: string;
}

export type NativeTarget = "linux-x64" | "darwin-arm64";

/** What is compiled against and shipped. The wheel named `mlx…` holds the headers and libmlx. */
export const WHEELS: Readonly<Record<NativeTarget, readonly Wheel[]>> = {
  "linux-x64": [
    {
      name: "mlx-cpu",
      version: "0.32.4",
      platform: "manylinux_2_35_x86_64",
      sha256: "0e0a24fa2ce8b6b94d2e6a90604e8813aa8e29fcb918bb2aa01cfb6d133d8cee",
    },
    {
      name: "scipy-openblas32",
      version: "0.3.34.481.3",
      platform: "manylinux_2_28_x86_64",
      sha256: "0595f94cd58c1f8a0d90c975621f4587337a003916b1979e834ebdf2cb5d9504",
    },
  ],
  // The wheels for macOS 15 and 26 hold more kernels but do not load on 14; this one runs on all of them.
  "darwin-arm64": [
    {
      name: "mlx-metal",
      version: "0.32.4",
      platform: "macosx_14_0_arm64",
      sha256: "8019b2db622599267d66cc168b2f0dbf5af929790a6c3b3913e00eabc42a7947",
    },
  ],
};

/** The cross compiler: makes the macOS shim on Linux x86-64. */
export const ZIG_WHEEL: Wheel = {
  name: "ziglang",
  version: "0.17.1",
  platform: "manylinux_2_12_x86_64",
  sha256: "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
};
