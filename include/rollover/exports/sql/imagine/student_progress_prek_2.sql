-- What a PreK-2 student did and reached in the year: a line per student and classroom, with all pathways.
WITH students AS (STUDENTS), used AS (USED), weeks AS (
    SELECT account_id, jsonb_agg(jsonb_build_array(week_of, minutes) ORDER BY week_of) AS weeks
    FROM PRODUCT.usage WHERE school_year = %(school_year)s GROUP BY account_id
), tests AS (
    SELECT account_id, jsonb_agg(jsonb_build_array(name, taken_on, score) ORDER BY taken_on, assessment_id) AS tests
    FROM PRODUCT.assessments WHERE school_year = %(school_year)s GROUP BY account_id
), rooms AS (
    SELECT m.account_id, r.school_id, r.classroom_id, r.name AS classroom, t.given_name || ' ' || t.family_name AS teacher
    FROM PRODUCT.classroom_students m
    JOIN PRODUCT.classrooms r ON r.classroom_id = m.classroom_id
    LEFT JOIN PRODUCT.educator_accounts e ON e.account_id = r.educator_account_id
    LEFT JOIN roster.people t ON t.sourced_id = e.person_id
    WHERE %(is_current)s
), results AS (
    SELECT account_id, string_agg(pathway, ', ' ORDER BY pathway) AS pathways,
           sum(lessons_assigned) AS lessons_assigned, sum(lessons_passed) AS lessons_passed,
           round(avg(average_score), 2) AS average_score
    FROM PRODUCT.progress WHERE school_year = %(school_year)s GROUP BY account_id
)
SELECT coalesce(m.school_id, t.school_id) AS school_id, coalesce(m.classroom_id, 'without-classroom') AS classroom_id,
       t.school, m.classroom, m.teacher, t.family_name AS last_name, t.given_name AS first_name, t.grade,
       r.pathways, r.lessons_assigned, r.lessons_passed, r.average_score,
       u.minutes, u.problems, u.weeks AS weeks_active, w.weeks, e.tests
FROM students t
LEFT JOIN rooms m ON m.account_id = t.account_id
LEFT JOIN used u ON u.account_id = t.account_id
LEFT JOIN weeks w ON w.account_id = t.account_id
LEFT JOIN tests e ON e.account_id = t.account_id
LEFT JOIN results r ON r.account_id = t.account_id
WHERE t.band = 'PreK-2'
ORDER BY school_id, classroom_id, t.family_name, t.given_name, t.account_id
