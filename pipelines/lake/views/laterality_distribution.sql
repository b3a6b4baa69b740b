-- Sides of the pneumothoraces of each cohort, curated positives only, beside the paper's Figure 4.
-- column cohort: Cohort.
-- column category: Side of the patient: right, left or bilateral.
-- column n: Radiographs with it.
-- column share_percent: Share of the cohort's positive radiographs, in percent.
-- column paper_percent: The paper's share for the cohort of that name, in percent.
WITH positives AS (
    SELECT masks.cohort, masks.laterality AS category
    FROM masks
    JOIN curated USING (radiograph_id)
    WHERE masks.has_pneumothorax
),

categories AS (
    SELECT totals.cohort, totals.n AS total, listed.category, listed.position
    FROM (SELECT cohort, count(*) AS n FROM positives GROUP BY cohort) AS totals
    CROSS JOIN (VALUES ('right', 1), ('left', 2), ('bilateral', 3)) AS listed (category, position)
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
    ON printed.figure = 'figure4'
    AND printed.metric = 'share'
    AND printed.cohort = categories.cohort
    AND printed.item = categories.category
GROUP BY categories.cohort, categories.category, categories.position
ORDER BY categories.cohort, categories.position
