import { parseConfig, runService } from '@blockferry/runtime/service'
import { startAggregator } from './app.ts'
import { options, rules } from './config.ts'

await runService({
  service: 'aggregator',
  start: (context) => {
    const { argv, env } = context
    const config = parseConfig({ service: 'aggregator', options, rules, argv, env })
    return startAggregator(config, context)
  },
})
