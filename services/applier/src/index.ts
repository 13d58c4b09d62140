/** What simulation and tests run; the service itself starts at main.ts. */
export { type Applier, createApplier } from './applier.ts'
export { type Disk } from './disk/disk.ts'
export { isOpenable, stateOf } from './disk/disk-state.ts'
export type { LagMessage, LagSample } from './lag/lag-sample.ts'
export { type ApplierOptions, defaultApplierOptions } from './options.ts'
export type {
  ApplierDeps,
  ApplierLogger,
  ImageIdentity,
  LogPlace,
  OpenedLog,
  OpenImage,
  OpenImageRequest,
  TargetImages,
  Unpack,
} from './ports.ts'
export type { RecoveryPoint } from './volume/recovery-point-index.ts'
