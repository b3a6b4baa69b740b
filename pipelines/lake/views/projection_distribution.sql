-- Projections of the pneumothoraces of each cohort, curated positives only, beside the paper's Figure 6.
-- column cohort: Cohort.
-- column category: PA, AP, or unknown where the header does not say.
-- column n: Radiographs with it.
-- column share_percent: Share of the cohort's positive radiographs, in percent.
-- column paper_percent: The paper's share for the cohort of that name, in percent.
WITH positives AS (
    SELECT masks.cohort, coalesce(instances.view_position, 'unknown') AS category
    FROM masks
    JOIN curated USING (radiograph_id)
    JOIN instances USING (radiograph_id)
    WHERE masks.has_pneumothorax
),

categories AS (
    SELECT totals.cohort, totals.n AS total, listed.category, listed.position
    FROM (SELECT cohort, count(*) AS n FROM positives GROUP BY cohort) AS totals
    CROSS JOIN (VALUES ('PA', 1), ('AP', 2), ('unknown', 3)) AS listed (category, position)
)

SELECT
    categories.cohort,
    categories.category,
    count(positives.category) AS n,
    100.0 * count(positives.category) / any_value(categories.total) AS share_percent,
    any_value(printed.value) AS paper_percent
FROM categories
LEFT JOIN positives USING (cohort, category)
LEFT JOIN paper_values AS printed
    ON printed.figure = 'figure6'
    AND printed.metric = 'share'
    AND printed.cohort = categories.cohort
    AND printed.item = categories.category
GROUP BY categories.cohort, categories.category, categories.position
ORDER BY categories.cohort, categories.position
