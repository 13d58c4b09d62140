import type { Readiness } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'

/** Ready while the mirrored topic is read and no disk is HALTED. */
export function applierReadiness(applier: Applier): Readiness {
  const { volume } = applier
  const reasons = applier.receiveTroubles().map((trouble) => `nothing is received: ${trouble}`)
  if (!volume.isCheckpointed) {
    reasons.push('no checkpoint could be written since the start: nothing is received')
  }
  if (volume.cursors.size === 0) reasons.push('the mirrored updates are not read yet')
  for (const disk of volume.disks.values()) {
    const { diskId, halt } = disk
    if (halt === null) continue
    const { code, message, nextCommand } = halt
    reasons.push(`disk ${diskId} is HALTED (${code}): ${message}; next: ${nextCommand}`)
  }
  return { ready: reasons.length === 0, reasons }
}
