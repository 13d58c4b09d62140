import { faultsOf } from '@blockferry/runtime'
import { catalogue } from './error-catalogue.ts'

/** Makes a Fault of this package's catalogue. */
export const fault = faultsOf(catalogue)
