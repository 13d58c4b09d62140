import type { ServiceReader } from '../lab-client/service-reader.ts'

interface RecoveryPointPage {
  readonly recoveryPoints: readonly { readonly cutId: string }[]
  readonly nextCursor: string | null
}

/** The cut ids of every recovery point that the target's index holds of a disk, page by page. */
export async function readCutIds(lab: ServiceReader, diskId: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  let query = ''
  for (;;) {
    const page: RecoveryPointPage = await lab.get('applier', `/v1/recovery-points?disk=${diskId}${query}`)
    for (const point of page.recoveryPoints) found.add(point.cutId)
    if (page.nextCursor === null) return found
    query = `&cursor=${encodeURIComponent(page.nextCursor)}`
  }
}
