/** Counts since the process started; the metrics endpoint reads them. */
export interface ApplierStats {
  setsAccepted: number
  eventsAccepted: number
  bytesFetched: number
  duplicatesDropped: number
  staleDropped: number
  undecodable: number
  damagedBatches: number
  gaps: number
  resendsRequested: number
  resyncsRequested: number
  batchesApplied: number
  framesApplied: number
  bytesApplied: number
  applyMsTotal: number
  applyMsLast: number
  parked: number
  framesCopiedForward: number
  fetchFailures: number
  journalFailures: number
  reportsSent: number
  lagClients: number
  lagClientsDropped: number
  lagClientsRefused: number
  lagBufferedBytes: number
}

export function newStats(): ApplierStats {
  return {
    setsAccepted: 0,
    eventsAccepted: 0,
    bytesFetched: 0,
    duplicatesDropped: 0,
    staleDropped: 0,
    undecodable: 0,
    damagedBatches: 0,
    gaps: 0,
    resendsRequested: 0,
    resyncsRequested: 0,
    batchesApplied: 0,
    framesApplied: 0,
    bytesApplied: 0,
    applyMsTotal: 0,
    applyMsLast: 0,
    parked: 0,
    framesCopiedForward: 0,
    fetchFailures: 0,
    journalFailures: 0,
    reportsSent: 0,
    lagClients: 0,
    lagClientsDropped: 0,
    lagClientsRefused: 0,
    lagBufferedBytes: 0,
  }
}
