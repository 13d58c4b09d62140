import type { SettingFault } from './config-fault.ts'
import { flagName, type OptionSpec, type OptionTable } from './option-table.ts'

/** A value as found, with the name under which the person wrote it. */
export interface RawSetting {
  readonly name: string
  readonly value: unknown
  /** What a fault shows in place of a value that must not be printed. */
  readonly shown?: string
  /** Its fault is listed already. */
  readonly isFaulty?: boolean
}

export interface FlagSettings {
  readonly configPath: string | undefined
  readonly settings: ReadonlyMap<string, RawSetting>
}

/**
 * Reads `--key value`, `--key=value`, `--switch` and `--no-switch`. A list's flag may be repeated; any other
 * flag given twice is a fault, for nobody can tell which one was meant.
 */
export function readFlags(
  options: OptionTable,
  argv: readonly string[],
  faults: SettingFault[],
): FlagSettings {
  const keys = new Map(Object.keys(options).map((key) => [flagName(key), key]))
  const settings = new Map<string, RawSetting>()
  let configPath: string | undefined
  for (let at = 0; at < argv.length; at += 1) {
    const flag = splitFlag(argv[at] ?? '', keys)
    const spec = flag.key === undefined ? undefined : options[flag.key]
    if (spec === undefined && flag.name !== '--config') {
      faults.push(unknownFlag(argv[at] ?? '', [...keys.keys()]))
      continue
    }
    const value = flag.value ?? (spec?.kind === 'boolean' ? 'true' : argv[(at += 1)])
    if (flag.key === undefined || spec === undefined) configPath = value
    else record({ name: flag.name, key: flag.key, spec, value, settings }, faults)
  }
  return { configPath, settings }
}

function splitFlag(
  argument: string,
  keys: ReadonlyMap<string, string>,
): { readonly name: string; readonly key?: string; readonly value?: string } {
  const equals = argument.indexOf('=')
  const name = equals === -1 ? argument : argument.slice(0, equals)
  const value = equals === -1 ? {} : { value: argument.slice(equals + 1) }
  const key = keys.get(name)
  if (key !== undefined) return { name, key, ...value }
  const negated = name.startsWith('--no-') ? keys.get(`--${name.slice(5)}`) : undefined
  return negated === undefined ? { name, ...value } : { name, key: negated, value: 'false' }
}

function record(
  flag: {
    readonly name: string
    readonly key: string
    readonly spec: OptionSpec
    readonly value: string | undefined
    readonly settings: Map<string, RawSetting>
  },
  faults: SettingFault[],
): void {
  const { name, key, spec, value, settings } = flag
  const before = settings.get(key)
  if (value === undefined) {
    faults.push({ name, value: null, unit: spec.unit ?? null, expected: 'a value after the flag' })
  } else if (before === undefined) {
    settings.set(key, { name, value })
  } else if (spec.kind === 'list') {
    settings.set(key, { name, value: `${String(before.value)}${spec.separator ?? ','}${value}` })
  } else {
    faults.push({ name, value, unit: spec.unit ?? null, expected: 'the flag once' })
  }
}

function unknownFlag(argument: string, known: readonly string[]): SettingFault {
  const expected = `a known flag: one of ${known.join(', ')}`
  return { name: argument, value: argument, unit: null, expected }
}
