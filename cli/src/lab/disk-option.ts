import { MiB } from '@blockferry/runtime'
import { parseByteSize } from '@blockferry/runtime/service'

/** One `--disk` of `start`, as written. Paths left out are chosen in the lab's directory. */
export interface DiskOption {
  readonly id: string
  /** Null: the source file's own size. */
  readonly sizeBytes: number | null
  readonly source: string | null
  readonly target: string | null
  readonly provisioning: 'thin'
  readonly groupId: string | null
}

export type DiskOptionResult =
  | { readonly ok: true; readonly disk: DiskOption }
  | { readonly ok: false; readonly faults: readonly string[] }

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const keys = ['id', 'size', 'source', 'target', 'provisioning', 'group'] as const
type Key = (typeof keys)[number]
/** Smallest disk worth serving, and what a client's partition table needs. */
export const diskBytesMin = 1 * MiB

/** Reads `id=vda,size=1G[,source=PATH][,target=PATH][,provisioning=thin][,group=NAME]`; names every fault. */
export function parseDiskOption(text: string): DiskOptionResult {
  const faults: string[] = []
  const complain = (what: string) => faults.push(`--disk ${text}: ${what}`)
  const fields = readFields(text, complain)
  const id = fields.get('id')
  if (id === undefined) complain('id is missing; expected id=NAME')
  else if (!idPattern.test(id)) {
    complain(`id is "${id}"; expected letters, digits, ".", "_", "-", at most 63`)
  }
  const sizeBytes = readSize(fields, complain)
  const group = fields.get('group')
  if (group !== undefined && !idPattern.test(group)) {
    complain(`group is "${group}"; expected letters, digits, ".", "_", "-", at most 63`)
  }
  const provisioning = fields.get('provisioning') ?? 'thin'
  if (provisioning !== 'thin') complain(`provisioning is "${provisioning}"; expected thin`)
  const target = fields.get('target')
  if (target?.includes('://') === true) complain(`target is "${target}"; expected the path of a file`)
  if (faults.length > 0 || id === undefined) return { ok: false, faults }
  const source = fields.get('source') ?? null
  const places = { source, target: target ?? null, groupId: group ?? null }
  return { ok: true, disk: { id, sizeBytes, ...places, provisioning: 'thin' } }
}

function readFields(text: string, complain: (what: string) => void): ReadonlyMap<Key, string> {
  const fields = new Map<Key, string>()
  for (const part of text.split(',')) {
    const equals = part.indexOf('=')
    const name = equals === -1 ? part : part.slice(0, equals)
    const key = keys.find((known) => known === name)
    const value = equals === -1 ? '' : part.slice(equals + 1)
    if (key === undefined) complain(`"${name}" is unknown; expected ${keys.join(', ')}`)
    else if (value === '') complain(`${key} has no value; expected ${key}=…`)
    else if (fields.has(key)) complain(`${key} is given twice`)
    else fields.set(key, value)
  }
  return fields
}

function readSize(fields: ReadonlyMap<Key, string>, complain: (what: string) => void): number | null {
  const text = fields.get('size')
  if (text === undefined) {
    if (!fields.has('source')) complain('size is missing; expected size=1G, or a source that exists')
    return null
  }
  const sizeBytes = parseByteSize(text)
  const usable = sizeBytes !== null && sizeBytes >= diskBytesMin && sizeBytes % 512 === 0
  if (!usable) complain(`size is "${text}"; expected bytes or 1M, 1G, 1T: a multiple of 512, at least 1M`)
  return sizeBytes
}

/** Faults that only show between disks: equal ids, equal files. */
export function faultsBetweenDisks(disks: readonly DiskOption[]): readonly string[] {
  const faults: string[] = []
  const seen = new Map<string, string>()
  const claim = (what: string, owner: string) => {
    const other = seen.get(what)
    if (other !== undefined) faults.push(`--disk: ${what} is used twice (${other} and ${owner})`)
    seen.set(what, owner)
  }
  for (const disk of disks) {
    claim(`id ${disk.id}`, disk.id)
    if (disk.source !== null) claim(`file ${disk.source}`, `source of ${disk.id}`)
    if (disk.target !== null) claim(`file ${disk.target}`, `target of ${disk.id}`)
  }
  return faults
}
