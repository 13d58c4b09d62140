import { faultsOf } from '@blockferry/runtime'
import { catalogue } from './error-catalogue.ts'

/** Makes the tool's own faults. */
export const fault = faultsOf(catalogue)
