export * from './choose.ts'
export * from './model-source.ts'
export * from './model-target.ts'
export * from './stream-model.ts'
