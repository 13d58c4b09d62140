import { MiB } from '@blockferry/runtime'
import { type Machine, machineLine } from './machine.ts'

/** One measured number. `bound` and `aim` say what it is held against: a bound that fails fails the run. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly bound?: { readonly max: number }
  readonly aim?: { readonly min: number }
  /** How it was made, where the name does not say it: run counts, spread. */
  readonly note?: string
}

export interface Skipped {
  readonly name: string
  readonly reason: string
}

/** What the disk under load held before. */
export interface ImageFill {
  readonly bytes: number
  readonly filledWith: string
}

export interface Report {
  readonly machine: Machine
  readonly image: ImageFill
  /** Of every service of the lab under load. */
  readonly kafkaClient: string
  readonly figures: Figure[]
  readonly skipped: Skipped[]
}

export function verdictOf(figure: Figure): string {
  if (figure.bound !== undefined) return figure.value <= figure.bound.max ? 'holds' : 'FAILS'
  if (figure.aim !== undefined) return figure.value >= figure.aim.min ? 'met' : 'not met'
  return ''
}

export function renderReport(report: Report): string {
  const rows = report.figures.map((figure) => [
    figure.name,
    `${format(figure.value)} ${figure.unit}`.trim(),
    figure.bound === undefined
      ? figure.aim === undefined
        ? ''
        : `aim ≥ ${figure.aim.min}`
      : `≤ ${figure.bound.max}`,
    verdictOf(figure),
    figure.note ?? '',
  ])
  for (const { name, reason } of report.skipped) rows.push([name, 'skipped', '', '', reason])
  const head = ['figure', 'measured', 'held against', 'verdict', 'how']
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const { bytes, filledWith } = report.image
  const setting = `Measured on ${machineLine(report.machine)}; disk of ${bytes / MiB} MiB, ${filledWith}; Kafka client: ${report.kafkaClient}.`
  return [setting, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function format(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return value.toFixed(2)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** What one load did on two sides, in rounds that alternate: the median of the ratios, and each side's median. */
export function ratioFigures(measured: {
  readonly name: string
  readonly ratio: string
  readonly rate: string
  readonly unit: string
  /** What each side is called. */
  readonly sides: { readonly ours: string; readonly theirs: string }
  readonly rounds: readonly { readonly ours: number; readonly theirs: number }[]
  readonly seconds: number
  readonly aimMin: number
}): readonly Figure[] {
  const { aimMin, name, rate, ratio, rounds, seconds, sides, unit } = measured
  const ratios = rounds.map(({ ours, theirs }) => ours / theirs)
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`
  const note = `median of ${rounds.length} alternating runs of ${seconds} s, ${spread}`
  const medianOf = (side: 'ours' | 'theirs') => median(rounds.map((round) => round[side]))
  return [
    { name: `${name}: ${ratio}`, value: median(ratios), unit: '×', aim: { min: aimMin }, note },
    { name: `${name}: ${rate}, ${sides.ours}`, value: medianOf('ours'), unit },
    { name: `${name}: ${rate}, ${sides.theirs}`, value: medianOf('theirs'), unit },
  ]
}
