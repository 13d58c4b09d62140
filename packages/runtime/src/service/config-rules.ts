import type { SettingFault } from './config-fault.ts'
import type { RawSetting } from './flags.ts'
import { type ConfigOf, environmentName, flagName, type OptionTable } from './option-table.ts'

/** What is wrong where one sentence for the whole rule does not say it. */
export interface RuleFault {
  readonly value: string | null
  readonly expected: string
}

/** A relation that settings must keep, which none of them shows alone. */
export interface ConfigRule<Table extends OptionTable> {
  /** Checked once each of these is valid by itself. */
  readonly keys: readonly (keyof Table & string)[]
  /** In words: for the fault, and for the documentation. */
  readonly expected: string
  /** True, or the faults one by one, when the rule is broken. */
  readonly broken: (config: ConfigOf<Table>) => boolean | readonly RuleFault[]
}

/** Keeps the key names of a table checked. */
export function defineRules<const Table extends OptionTable>(
  _options: Table,
  rules: readonly ConfigRule<Table>[],
): readonly ConfigRule<Table>[] {
  return rules
}

/** Adds a fault for every broken rule whose settings are all valid by themselves. */
export function checkRules<Table extends OptionTable>(
  checked: {
    readonly rules: readonly ConfigRule<Table>[]
    readonly config: ConfigOf<Table>
    readonly settings: ReadonlyMap<string, RawSetting>
    readonly faultyKeys: ReadonlySet<string>
  },
  faults: SettingFault[],
): void {
  const { config, faultyKeys, rules, settings } = checked
  for (const { broken, expected, keys } of rules) {
    if (keys.some((key) => faultyKeys.has(key))) continue
    const outcome = broken(config)
    if (outcome === false) continue
    const name = keys.map((key) => nameOf(key, settings)).join(' with ')
    const value = keys.map((key) => shownOf(config[key], settings.get(key))).join(' with ')
    const isHidden = keys.some((key) => settings.get(key)?.shown !== undefined)
    for (const fault of outcome === true ? [{ value, expected }] : outcome) {
      faults.push({ name, unit: null, ...fault, ...(isHidden ? { value } : {}) })
    }
  }
}

function nameOf(key: string, settings: ReadonlyMap<string, RawSetting>): string {
  return settings.get(key)?.name ?? `${flagName(key)} (${environmentName(key)})`
}

function shownOf(value: unknown, raw: RawSetting | undefined): string {
  if (raw !== undefined) return raw.shown ?? shownValue(raw.value)
  return value === null ? 'not set' : shownValue(value)
}

/** A value as a fault shows it. */
export function shownValue(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null')
}
