/** The pure part of the runtime: any package may import it. I/O lives in '@blockferry/runtime/service'. */
export * from './aborted.ts'
export * from './assert.ts'
export * from './errors.ts'
export * from './ports.ts'
export * from './units.ts'
