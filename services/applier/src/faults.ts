import { faultsOf } from '@blockferry/runtime'
import { catalogue } from './error-catalogue.ts'

/** Makes this service's faults. */
export const applierFault = faultsOf(catalogue)
