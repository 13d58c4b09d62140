import type { NbdExport, NbdExports } from '@blockferry/nbd'
import type { TapAgent } from './agent/tap-agent.ts'
import { nbdExportOf } from './disk/nbd-export.ts'
import type { TapDisk } from './disk/tap-disk.ts'

/** The disks that are served now; the empty name is the only disk of an agent that has one. */
export function nbdExportsOf(agent: TapAgent): NbdExports {
  const made = new WeakMap<TapDisk, NbdExport>()
  const exportOf = (disk: TapDisk): NbdExport => {
    const known = made.get(disk) ?? nbdExportOf(disk)
    made.set(disk, known)
    return known
  }
  return {
    names: () => [...agent.served.keys()],
    find: (name) => {
      const [only] = agent.served.size === 1 ? agent.served.values() : []
      const disk = name === '' ? only : agent.served.get(name)
      return disk === undefined ? undefined : exportOf(disk)
    },
  }
}
